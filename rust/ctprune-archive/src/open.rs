//! The bytes at locations, whether they are files, members of containers or objects on other machines.

use crate::discover::location::Location;
use ctprune_containers::index::Member;
use ctprune_containers::open::Container;
use ctprune_containers::pass::{ItemContent, Pass, Want};
use ctprune_containers::{Content, bytes::Bytes};
use ctprune_dicom::error::ReadError;
use ctprune_dicom::read::{Buffers, Format, Head, open_file, read_bytes, read_open_file, read_part};
use ctprune_dicom::slice::{Event, ReadOptions, Refusal};
use ctprune_dicom::turns;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Gives the bytes of a [`Location::Remote`].
pub trait Fetch: Sync {
    /// Says which objects will be fetched, in about this order, so that they may be in flight before.
    fn soon(&self, _addresses: &[&str]) {}

    /// All bytes of the object at this address.
    fn fetch(&self, address: &str) -> Result<Vec<u8>, ReadError>;
}

/// What is at a location.
pub enum Opened<'a> {
    /// A file, and its first bytes.
    File(File, Box<Head>),
    /// All bytes, in memory.
    Bytes(&'a [u8]),
    /// A large member that lies in its container as it is.
    Part(&'a Bytes),
    /// Nothing that can be read.
    Refused(Refusal),
}

/// How long a pass is waited for before it is looked whether to stop.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

thread_local! {
    /// Kept from member to member: to get as much memory from the system again costs as much as to fill it.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads what is at a location and reports each slice, or why there is none; at least one event.
///
/// Returns the format, `None` when the bytes are of none that is known. Without `fetch` nothing that is remote is read.
pub fn read_location(
    location: &Location,
    options: &ReadOptions,
    buffers: &mut Buffers,
    fetch: Option<&dyn Fetch>,
    each: &mut dyn FnMut(Event<'_>),
) -> Option<Format> {
    open_location(location, options, fetch, |opened| {
        read_opened(location, opened, options, buffers, each)
    })
}

/// Reads what was opened at a location and reports each slice, or why there is none; at least one event.
pub fn read_opened(
    location: &Location,
    opened: Opened<'_>,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Option<Format> {
    let name = match location {
        Location::File(path) => path,
        Location::Member { member: name, .. } | Location::Remote(name) => Path::new(name.as_str()),
    };
    let format = match opened {
        Opened::File(file, head) => read_open_file(name, file, &head, options, buffers, each),
        Opened::Bytes(bytes) => read_bytes(name, bytes, options, buffers, each),
        Opened::Part(part) => read_part(name, part.reader(), part.len(), options, buffers, each),
        Opened::Refused(refusal) => {
            each(Event::Refused { info: None, refusal });
            None
        }
    };
    turns::end();
    format
}

/// Calls `act` with what is at a location. A member of a container that is read from its start costs a pass over it:
/// [`visit_locations`](crate::open_many::visit_locations) makes one for many.
pub fn open_location<R>(
    location: &Location,
    options: &ReadOptions,
    fetch: Option<&dyn Fetch>,
    act: impl FnOnce(Opened<'_>) -> R,
) -> R {
    match location {
        Location::File(path) => match open_file(path) {
            Ok((file, head)) => act(Opened::File(file, Box::new(head))),
            Err(error) => act(Opened::Refused(error.into())),
        },
        Location::Remote(address) => {
            let fetched = match fetch {
                Some(fetch) => fetch.fetch(address),
                None => Err(ReadError::Unsupported("a file on another machine".into())),
            };
            match fetched {
                Ok(bytes) => act(Opened::Bytes(&bytes)),
                Err(error) => act(Opened::Refused(error.into())),
            }
        }
        Location::Member { container, member } => match find_member(container, member, options) {
            Ok(Found::Indexed(container, member)) => with_member(&container, &member, options, act),
            Ok(Found::InPass(container, name)) => match read_in_pass(container, &name, options) {
                Ok(bytes) => act(Opened::Bytes(&bytes)),
                Err(refusal) => act(Opened::Refused(refusal)),
            },
            Err(refusal) => act(Opened::Refused(refusal)),
        },
    }
}

/// Where a member is.
pub enum Found {
    /// In a container with an index.
    Indexed(Arc<Container>, Member),
    /// In a container that is read from its start, under this name.
    InPass(Arc<Container>, String),
}

/// Finds the member of the container in a file, or of a container in that.
pub fn find_member(path: &Path, name: &str, options: &ReadOptions) -> Result<Found, Refusal> {
    let container = Container::open(path)?;
    let Some(index) = container.index() else {
        return Ok(Found::InPass(container, name.to_owned()));
    };
    if let Some(member) = index.find(name) {
        return Ok(Found::Indexed(Arc::clone(&container), member.clone()));
    }
    for (outer, inner) in splits(name) {
        if let Some(member) = index.find(outer) {
            let nested = container.open_nested(path, member, options)?;
            let Some(index) = nested.index() else {
                return Ok(Found::InPass(nested, inner.to_owned()));
            };
            let member = index.find(inner).ok_or_else(gone)?.clone();
            return Ok(Found::Indexed(nested, member));
        }
    }
    Err(gone())
}

/// The ways in which a name may be that of a member of a nested container.
pub(crate) fn splits(name: &str) -> impl Iterator<Item = (&str, &str)> {
    const MARK: &str = "!/";
    name.match_indices(MARK)
        .map(|(at, _)| (&name[..at], &name[at + MARK.len()..]))
}

/// Whether a location is in a container that is read from its start, so that many are better read together.
pub fn is_packed(location: &Location) -> bool {
    match location {
        Location::Member { container, .. } => {
            Container::open(container).is_ok_and(|container| container.index().is_none())
        }
        Location::File(_) | Location::Remote(_) => false,
    }
}

pub(crate) fn gone() -> Refusal {
    Refusal::Failed(ReadError::Invalid("the archive has no such readable member"))
}

/// Calls `act` with the content of a member of a container's index.
pub fn with_member<R>(
    container: &Container,
    member: &Member,
    options: &ReadOptions,
    act: impl FnOnce(Opened<'_>) -> R,
) -> R {
    // Taken out for as long as it is used: `act` may be interrupted by another member of this thread.
    let mut buffer = BUFFER.take();
    let result = match container.read(member, options, &mut buffer) {
        Ok(Content::Buffered) => act(Opened::Bytes(&buffer)),
        Ok(Content::Apart(part)) => act(Opened::Part(&part)),
        Err(refusal) => act(Opened::Refused(refusal)),
    };
    turns::end();
    if buffer.capacity() as u64 <= turns::LARGE {
        BUFFER.set(buffer);
    }
    result
}

/// The content of one member of a container that is read from its start.
fn read_in_pass(container: Arc<Container>, name: &str, options: &ReadOptions) -> Result<Vec<u8>, Refusal> {
    let wanted: HashSet<String> = names_of_items(name).collect();
    let mut pass = start_pass(container, options, wanted);
    loop {
        let batch = pass.next_batch(LOOK, 1);
        for item in batch.items {
            let inner = splits(name)
                .find(|(outer, _)| *outer == item.name)
                .map(|(_, inner)| inner);
            match item.content {
                ItemContent::Left => continue,
                ItemContent::Refused(refusal) => return Err(refusal),
                ItemContent::Bytes(held) => match inner {
                    None => return Ok(held.take()),
                    Some(inner) => {
                        let nested = Container::of_memory(held.take(), &item.name)?;
                        return read_in_memory(nested, inner, options);
                    }
                },
            }
        }
        match batch.end {
            None => {}
            Some(None) => return Err(gone()),
            Some(Some(fault)) => return Err(fault.error.into()),
        }
    }
}

fn read_in_memory(container: Container, name: &str, options: &ReadOptions) -> Result<Vec<u8>, Refusal> {
    let Some(index) = container.index() else {
        return read_in_pass(Arc::new(container), name, options);
    };
    let member = index.find(name).ok_or_else(gone)?;
    let mut buffer = Vec::new();
    let content = container.read(member, options, &mut buffer)?;
    if let Content::Apart(part) = content {
        part.reader()
            .read_to_end(&mut buffer)
            .map_err(|error| ReadError::io("the archive cannot be read", &error))?;
    }
    Ok(buffer)
}

/// A pass that reads the members with these names.
pub(crate) fn start_pass(container: Arc<Container>, options: &ReadOptions, wanted: HashSet<String>) -> Pass {
    Pass::start(container, options.clone(), move |name, _| {
        if wanted.contains(name) {
            Want::Read
        } else {
            Want::Leave
        }
    })
}

/// A member's own name, and those of containers that may hold it.
pub fn names_of_items(name: &str) -> impl Iterator<Item = String> {
    let outer = splits(name).map(|(outer, _)| outer.to_owned());
    std::iter::once(name.to_owned()).chain(outer)
}
