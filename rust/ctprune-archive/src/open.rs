//! The bytes at locations, whether they are files, members of containers or objects on other machines.

use crate::discover::location::Location;
use ctprune_containers::index::Member;
use ctprune_containers::open::Container;
use ctprune_containers::pass::{Item, ItemContent, Pass, Want};
use ctprune_containers::{Content, bytes::Bytes};
use ctprune_dicom::error::ReadError;
use ctprune_dicom::read::{Buffers, Format, Head, open_file, read_bytes, read_open_file, read_part};
use ctprune_dicom::slice::{Event, ReadOptions, Refusal};
use ctprune_dicom::turns;
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Gives the bytes of a [`Location::Remote`].
pub trait Fetch: Sync {
    /// Says which objects will be fetched, in about this order, so that they may be on their way before.
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

/// Members that a pass hands over together, for each thread.
const TOGETHER: usize = 64;

/// How long a pass is waited for before it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(200);

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
/// [`visit_locations`] makes one for many.
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
fn splits(name: &str) -> impl Iterator<Item = (&str, &str)> {
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

fn gone() -> Refusal {
    Refusal::Failed(ReadError::Invalid(
        "the archive has no such member that can be read",
    ))
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
fn start_pass(container: Arc<Container>, options: &ReadOptions, wanted: HashSet<String>) -> Pass {
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

/// Calls `act` with what is at each location, in parallel; members of a container that is read from its start in one
/// pass over it. Results are in the order of the locations; `None` where none was begun since `stopped` said so.
pub fn visit_locations<T: Send, R: Send>(
    locations: Vec<(Location, T)>,
    options: &ReadOptions,
    fetch: Option<&dyn Fetch>,
    stopped: &(dyn Fn() -> bool + Sync),
    act: impl Fn(&Location, T, Opened<'_>) -> R + Sync,
) -> Vec<Option<R>> {
    let mut results: Vec<Option<R>> = Vec::new();
    results.resize_with(locations.len(), || None);
    let (direct, passes) = plan(locations, options);
    let visit = |job: Job<T>| {
        if stopped() {
            return (job.number, None);
        }
        let Job {
            number,
            location,
            what,
        } = job;
        let result = open_location(&location, options, fetch, |opened| act(&location, what, opened));
        (number, Some(result))
    };
    let remote: Vec<String> = direct
        .iter()
        .filter_map(|job| job.location.remote().map(str::to_owned))
        .collect();
    let done: Vec<(usize, Option<R>)> = match fetch.filter(|_| !remote.is_empty()) {
        Some(fetch) => {
            fetch.soon(&remote.iter().map(String::as_str).collect::<Vec<_>>());
            // One after the other, as they are fetched: rayon would begin at several of them.
            direct.into_iter().par_bridge().map(visit).collect()
        }
        None => direct.into_par_iter().map(visit).collect(),
    };
    done.into_iter()
        .for_each(|(number, result)| results[number] = result);
    for (container, jobs) in passes {
        let act = |job: Job<T>, opened: Opened<'_>| (job.number, act(&job.location, job.what, opened));
        for (number, result) in visit_pass(container, jobs, options, stopped, &act) {
            results[number] = Some(result);
        }
    }
    results
}

/// A location to visit.
struct Job<T> {
    number: usize,
    location: Location,
    what: T,
}

/// Jobs of a container by the names of their members in it.
type OfPass<T> = BTreeMap<String, Job<T>>;

/// A container, and what is to be read of it.
type PassJobs<T> = (Arc<Container>, OfPass<T>);

/// Which locations are opened one by one, and which in passes. Each location is there once.
fn plan<T>(locations: Vec<(Location, T)>, options: &ReadOptions) -> (Vec<Job<T>>, Vec<PassJobs<T>>) {
    let mut direct = Vec::new();
    let mut passes: BTreeMap<(PathBuf, String), PassJobs<T>> = BTreeMap::new();
    let mut indexed: Option<PathBuf> = None;
    for (number, (location, what)) in locations.into_iter().enumerate() {
        let job = Job {
            number,
            location,
            what,
        };
        let Location::Member { container, member } = &job.location else {
            direct.push(job);
            continue;
        };
        let is_nested = splits(member).next().is_some();
        if !is_nested && indexed.as_ref() == Some(container) {
            direct.push(job);
            continue;
        }
        match find_member(container, member, options) {
            Ok(Found::InPass(opened, name)) => {
                let outer = member.strip_suffix(&name).unwrap_or_default().to_owned();
                let of_pass = passes.entry((container.clone(), outer));
                of_pass
                    .or_insert_with(|| (opened, BTreeMap::new()))
                    .1
                    .insert(name, job);
            }
            _ => {
                if !is_nested {
                    indexed = Some(container.clone());
                }
                direct.push(job);
            }
        }
    }
    (direct, passes.into_values().collect())
}

/// One pass over a container for some of its members; `act` gets each of them, in parallel.
fn visit_pass<T: Send, R: Send>(
    container: Arc<Container>,
    mut wanted: OfPass<T>,
    options: &ReadOptions,
    stopped: &(dyn Fn() -> bool + Sync),
    act: &(impl Fn(Job<T>, Opened<'_>) -> R + Sync),
) -> Vec<R> {
    let names = wanted.keys().flat_map(|name| names_of_items(name)).collect();
    let mut pass = start_pass(container, options, names);
    let most = TOGETHER * rayon::current_num_threads();
    let mut results = Vec::new();
    while !wanted.is_empty() && !stopped() {
        let batch = pass.next_batch(LOOK, most);
        let found: Vec<(Item, OfPass<T>)> = batch
            .items
            .into_iter()
            .map(|item| {
                let jobs = take_jobs(&mut wanted, &item.name);
                (item, jobs)
            })
            .filter(|(_, jobs)| !jobs.is_empty())
            .collect();
        let of_item = |(item, jobs)| visit_item(item, jobs, options, stopped, act);
        let done: Vec<Vec<R>> = found.into_par_iter().with_max_len(1).map(of_item).collect();
        results.extend(done.into_iter().flatten());
        if let Some(end) = batch.end {
            let refusal = end.map_or_else(gone, |fault| Refusal::Failed(fault.error));
            let missing = std::mem::take(&mut wanted).into_values();
            results.extend(missing.map(|job| act(job, Opened::Refused(refusal.clone()))));
        }
    }
    results
}

/// The jobs of a member, and of members in it, by the rest of their names; an empty rest means the member itself.
fn take_jobs<T>(wanted: &mut OfPass<T>, name: &str) -> OfPass<T> {
    let mut jobs = OfPass::new();
    if let Some(job) = wanted.remove(name) {
        jobs.insert(String::new(), job);
    }
    let prefix = format!("{name}!/");
    let inner = wanted.range(prefix.clone()..);
    let inner: Vec<String> = inner
        .map(|(name, _)| name)
        .take_while(|name| name.starts_with(&prefix))
        .cloned()
        .collect();
    for name in inner {
        if let Some(job) = wanted.remove(&name) {
            jobs.insert(name[prefix.len()..].to_owned(), job);
        }
    }
    jobs
}

fn visit_item<T: Send, R: Send>(
    item: Item,
    mut jobs: OfPass<T>,
    options: &ReadOptions,
    stopped: &(dyn Fn() -> bool + Sync),
    act: &(impl Fn(Job<T>, Opened<'_>) -> R + Sync),
) -> Vec<R> {
    let mut results = Vec::new();
    let refuse = |jobs: OfPass<T>, refusal: &Refusal| {
        let refused = jobs
            .into_values()
            .map(|job| act(job, Opened::Refused(refusal.clone())));
        refused.collect::<Vec<R>>()
    };
    let held = match item.content {
        ItemContent::Bytes(held) => held,
        ItemContent::Refused(refusal) => return refuse(jobs, &refusal),
        ItemContent::Left => return refuse(jobs, &gone()),
    };
    if let Some(job) = jobs.remove("") {
        results.push(act(job, Opened::Bytes(&held)));
    }
    if jobs.is_empty() {
        return results;
    }
    match Container::of_memory(held.take(), &item.name) {
        Err(refusal) => results.extend(refuse(jobs, &refusal)),
        Ok(nested) => match nested.index() {
            None => results.extend(visit_pass(Arc::new(nested), jobs, options, stopped, act)),
            Some(index) => {
                for (name, job) in jobs {
                    results.push(match index.find(&name) {
                        Some(member) => with_member(&nested, member, options, |opened| act(job, opened)),
                        None => act(job, Opened::Refused(gone())),
                    });
                }
            }
        },
    }
    results
}
