//! Open containers, a few of which are kept: an index is made once, however many members are read.

use super::bytes::Bytes;
use super::feed::Feed;
use super::index::{Index, Member, failed};
use super::read::{self, Content};
use super::stream::Raw;
use super::{Kind, corrupt, promised_kind, tar, zip};
use ctprune_dicom::error::ReadError;
use ctprune_dicom::read::{HEAD_BYTES, format_of};
use ctprune_dicom::slice::{ReadOptions, Refusal};
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// Containers that are kept open: each takes a file's handle.
const KEPT: usize = 8;

/// Bytes of indices and of unpacked containers that are kept, or one of them.
const KEPT_BYTES: u64 = 512 << 20;

/// Why a container in a container in a container is not read.
const TOO_DEEP: &str = "an archive within an archive within an archive: unpack the outer one";

/// A container that is open.
#[derive(Debug)]
pub struct Container {
    kind: Kind,
    raw: Raw,
    /// `None` where it can only be read from its start.
    index: Option<Index>,
    /// Whether it is itself a member of a container.
    is_nested: bool,
    /// Bytes of memory that it takes.
    memory: u64,
}

impl Container {
    /// The container in a file, or in a member of the container in a file.
    pub fn open(path: &Path) -> Result<Arc<Self>, Refusal> {
        kept(path, None, || {
            let bytes =
                Bytes::open(path).map_err(|error| ReadError::io("the file cannot be read", &error))?;
            Self::of_raw(
                Raw {
                    bytes,
                    deflated: false,
                },
                name_of(path),
                false,
            )
        })
    }

    /// The container that is a member of this one, which is in the file at `path`.
    pub fn open_nested(
        &self,
        path: &Path,
        member: &Member,
        options: &ReadOptions,
    ) -> Result<Arc<Self>, Refusal> {
        // Before what is kept is looked at: a name within a nested container may be that of the nested one.
        if self.is_nested {
            return Err(failed(TOO_DEEP));
        }
        kept(path, Some(&member.name), || {
            let extent = *member.extent.as_ref().map_err(Refusal::clone)?;
            let bytes = read::stored_bytes(&self.raw.bytes, self.kind, extent)?;
            let raw = Raw {
                bytes,
                deflated: extent.deflated,
            };
            let mut head = [0; HEAD_BYTES];
            let length = read::read_head(&self.raw.bytes, self.kind, extent, &mut head)?;
            let in_memory = raw.deflated && Kind::of(&head[..length]) == Some(Kind::Zip);
            if in_memory {
                // Any of its members is read at any time, so it has to be unpacked whole.
                let mut buffer = Vec::new();
                read::read_member(&self.raw.bytes, self.kind, member, options, &mut buffer)?;
                ctprune_dicom::turns::end();
                return Self::of_memory(buffer, &member.name);
            }
            Self::of_head(raw, &head[..length], &member.name, true)
        })
    }

    /// The container in memory that is a member of one.
    pub fn of_memory(bytes: Vec<u8>, name: &str) -> Result<Self, Refusal> {
        let bytes = Bytes::of_memory(bytes);
        Self::of_raw(
            Raw {
                bytes,
                deflated: false,
            },
            name,
            true,
        )
    }

    /// The tar file that a feed gives from its start, with these first bytes.
    pub fn of_feed(feed: Arc<Feed>, len: u64, head: &[u8], name: &str) -> Result<Self, Refusal> {
        let kind = kind_of(head).filter(|&kind| kind != Kind::Zip);
        Ok(Self {
            kind: kind.ok_or_else(|| no_container(name))?,
            raw: Raw {
                bytes: Bytes::of_feed(feed, len),
                deflated: false,
            },
            index: None,
            is_nested: false,
            memory: 0,
        })
    }

    /// The container in an open file.
    pub fn of_file(file: File, name: &str) -> Result<Self, Refusal> {
        let bytes = Bytes::of_file(file).map_err(|error| ReadError::io("the file cannot be read", &error))?;
        let deflated = false;
        Self::of_raw(Raw { bytes, deflated }, name, false)
    }

    fn of_raw(raw: Raw, name: &str, is_nested: bool) -> Result<Self, Refusal> {
        let mut head = [0; HEAD_BYTES];
        let length = raw
            .bytes
            .read_full_at(&mut head, 0)
            .map_err(|error| ReadError::io("the file cannot be read", &error))?;
        Self::of_head(raw, &head[..length], name, is_nested)
    }

    fn of_head(raw: Raw, head: &[u8], name: &str, is_nested: bool) -> Result<Self, Refusal> {
        // Something may stand before a zip file, such as a program that unpacks it.
        let may_be_zip = promised_kind(name) == Some(Kind::Zip) && format_of(head).is_none();
        let kind = kind_of(head).or(may_be_zip.then_some(Kind::Zip));
        let kind = kind.ok_or_else(|| no_container(name))?;
        let index = match kind {
            Kind::Zip => Some(zip::index(&raw.bytes)?),
            Kind::Tar if !raw.deflated => Some(tar::index(&raw.bytes)),
            _ => None,
        };
        Ok(Self {
            memory: raw.bytes.memory() + index.as_ref().map_or(0, Index::memory),
            kind,
            raw,
            index,
            is_nested,
        })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its members, where any of them can be read at any time; `None` where one [`Pass`](super::pass::Pass) reads all.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// Number of its bytes.
    pub fn len(&self) -> u64 {
        self.raw.bytes.len()
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is itself a member of a container, so that no container in it is read.
    pub fn is_nested(&self) -> bool {
        self.is_nested
    }

    pub(super) fn raw(&self) -> &Raw {
        &self.raw
    }

    /// Reads a member of the index, into `buffer` unless it is large and lies there as it is.
    pub fn read(
        &self,
        member: &Member,
        options: &ReadOptions,
        buffer: &mut Vec<u8>,
    ) -> Result<Content, Refusal> {
        read::read_member(&self.raw.bytes, self.kind, member, options, buffer)
    }

    /// The first bytes of a member, in `head`; how many there are.
    pub fn read_head(&self, member: &Member, head: &mut [u8]) -> Result<usize, Refusal> {
        let extent = *member.extent.as_ref().map_err(Refusal::clone)?;
        Ok(read::read_head(&self.raw.bytes, self.kind, extent, head)?)
    }
}

/// The kind of container with these first bytes, unless they are those of a file of slices.
pub fn kind_of(head: &[u8]) -> Option<Kind> {
    if format_of(head).is_some() {
        None
    } else {
        Kind::of(head)
    }
}

/// Why a file that was taken for a container is none.
pub fn no_container(name: &str) -> Refusal {
    match promised_kind(name) {
        Some(kind) => Refusal::Failed(corrupt(
            kind,
            "its first bytes belong to another kind of file: download or copy it again",
        )),
        None => failed("not a zip or tar file, so it has no members"),
    }
}

/// Why a container in a container in a container is not read.
pub fn too_deep() -> Refusal {
    failed(TOO_DEEP)
}

fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// What tells a file from what takes its place later.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    path: PathBuf,
    member: Option<String>,
    size: u64,
    changed: Option<SystemTime>,
}

impl Key {
    fn new(path: &Path, member: Option<&str>, meta: &Metadata) -> Self {
        Self {
            path: path.to_path_buf(),
            member: member.map(str::to_owned),
            size: meta.len(),
            changed: meta.modified().ok(),
        }
    }
}

type Opened = Arc<OnceLock<Result<Arc<Container>, Refusal>>>;

/// Most recently used last.
static CONTAINERS: Mutex<Vec<(Key, Opened)>> = Mutex::new(Vec::new());

/// The container that is kept for this file and member, or a new one; threads that want the same wait for one of them.
fn kept(
    path: &Path,
    member: Option<&str>,
    open: impl FnOnce() -> Result<Container, Refusal>,
) -> Result<Arc<Container>, Refusal> {
    let meta = std::fs::metadata(path).map_err(|error| ReadError::io("the file cannot be opened", &error))?;
    let key = Key::new(path, member, &meta);
    let opened = {
        let mut containers = CONTAINERS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = containers.iter().position(|(other, _)| *other == key);
        let entry = match known {
            Some(at) => containers.remove(at),
            None => {
                make_room(&mut containers);
                (key, Opened::default())
            }
        };
        let opened = Arc::clone(&entry.1);
        containers.push(entry);
        opened
    };
    opened.get_or_init(|| open().map(Arc::new)).clone()
}

fn make_room(containers: &mut Vec<(Key, Opened)>) {
    let memory = |opened: &Opened| {
        let container = opened.get().and_then(|result| result.as_ref().ok());
        container.map_or(0, |container| container.memory)
    };
    let mut bytes: u64 = containers.iter().map(|(_, opened)| memory(opened)).sum();
    while containers.len() >= KEPT || bytes > KEPT_BYTES {
        let (_, oldest) = containers.remove(0);
        bytes -= memory(&oldest).min(bytes);
    }
}
