//! Zip files that lie elsewhere: their directories from parts of them, their members from their own bytes.

use super::bytes::Bytes;
use super::index::{Index, Member};
use super::open::Container;
use super::pass::{ItemContent, Pass, Want};
use super::read::{self, Content};
use super::stream::{self, Raw};
use super::{Kind, zip};
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::{ReadOptions, Refusal};
use ctprune_dicom::turns;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What an extra field of a local header may take before a second request is needed.
const EXTRA: u64 = 1 << 10;

/// How long a pass is waited for at a time.
const LOOK: Duration = Duration::from_millis(200);

/// What parts of a zip file gave.
pub enum Directory {
    /// All that is needed.
    Read(Index),
    /// Bytes from here on are needed.
    Missing(u64),
}

/// The directory of a zip file of `len` bytes, of which these parts are here, by their offsets.
pub fn directory(len: u64, parts: &[(u64, &[u8])]) -> Result<Directory, ReadError> {
    let source = Parts {
        parts,
        missing: Cell::new(None),
    };
    match (zip::index_of(&source, len), source.missing.get()) {
        (Err(_), Some(missing)) => Ok(Directory::Missing(missing)),
        (index, _) => Ok(Directory::Read(index?)),
    }
}

struct Parts<'a> {
    parts: &'a [(u64, &'a [u8])],
    /// The first byte that was asked for in vain.
    missing: Cell<Option<u64>>,
}

impl rawzip::ReaderAt for Parts<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        for (start, part) in self.parts {
            let rest = offset.checked_sub(*start).and_then(|at| part.get(at as usize..));
            if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
                let read = rest.len().min(buffer.len());
                buffer[..read].copy_from_slice(&rest[..read]);
                return Ok(read);
            }
        }
        self.missing.set(Some(offset));
        Err(io::Error::other("a part that is not here"))
    }
}

/// The bytes of a zip file of `len` bytes that hold a member: from its header to what is likely its end.
pub fn span(member: &Member, len: u64) -> Result<(u64, u64), Refusal> {
    let extent = *member.extent.as_ref().map_err(Refusal::clone)?;
    let header = zip::LOCAL_HEADER + member.name.len() as u64 + EXTRA;
    let end = extent.offset.saturating_add(header).saturating_add(extent.stored);
    Ok((extent.offset, end.min(len)))
}

/// What the bytes of a member gave.
pub enum Unpacked {
    /// Its content.
    Content(Vec<u8>),
    /// So many bytes from its header on are needed.
    Missing(u64),
}

/// The content of a member whose bytes, from its header on, are here. Its size and checksum are compared.
pub fn unpack(member: &Member, bytes: Vec<u8>, options: &ReadOptions) -> Result<Unpacked, Refusal> {
    let mut member = member.clone();
    let mut extent = *member.extent.as_ref().map_err(Refusal::clone)?;
    extent.offset = 0;
    member.extent = Ok(extent);
    let bytes = Bytes::of_memory(bytes);
    let needed = zip::content_offset(&bytes, extent)?.saturating_add(extent.stored);
    if needed > bytes.len() {
        return Ok(Unpacked::Missing(needed));
    }
    content(&bytes, Kind::Zip, &member, options).map(Unpacked::Content)
}

/// Takes what a feed gives of a tar file into `file`, unpacked, at most so many bytes.
pub fn unpack_tar(feed: Bytes, kind: Kind, mut file: &File, most: u64) -> io::Result<u64> {
    let raw = Raw {
        bytes: feed,
        deflated: false,
    };
    let mut source = stream::open(&raw, kind, &Arc::new(AtomicU64::new(0)));
    let written = io::copy(&mut (&mut source).take(most), &mut file)?;
    if written == most && source.read(&mut [0])? > 0 {
        return Err(io::Error::from(io::ErrorKind::StorageFull));
    }
    file.flush()?;
    Ok(written)
}

/// The content of the member of a container, or of one in it, with this name.
pub fn read_by_name(
    container: &Arc<Container>,
    name: &str,
    options: &ReadOptions,
) -> Result<Vec<u8>, Refusal> {
    let gone = || Refusal::Failed(ReadError::Invalid("the archive has no such readable member"));
    if let Some(index) = container.index() {
        if let Some(member) = index.find(name) {
            return content(&container.raw().bytes, container.kind(), member, options);
        }
        let (outer, inner) = outer_of(index, name).ok_or_else(gone)?;
        let bytes = content(&container.raw().bytes, container.kind(), outer, options)?;
        let nested = Arc::new(Container::of_memory(bytes, &outer.name)?);
        return read_by_name(&nested, inner, options);
    }
    let wanted = name.to_owned();
    let want = move |name: &str, _| if name == wanted { Want::Read } else { Want::Leave };
    let mut pass = Pass::start(Arc::clone(container), options.clone(), want);
    loop {
        let batch = pass.next_batch(LOOK, 1);
        for item in batch.items {
            match item.content {
                ItemContent::Bytes(held) => return Ok(held.take()),
                ItemContent::Refused(refusal) if item.name == name => return Err(refusal),
                ItemContent::Refused(_) | ItemContent::Left => {}
            }
        }
        match batch.end {
            None => {}
            Some(None) => return Err(gone()),
            Some(Some(fault)) => return Err(fault.error.into()),
        }
    }
}

/// The member that is a container holding what this name means, and the rest of the name.
pub fn outer_of<'a, 'n>(index: &'a Index, name: &'n str) -> Option<(&'a Member, &'n str)> {
    name.match_indices("!/").find_map(|(at, mark)| {
        let member = index.find(&name[..at])?;
        Some((member, &name[at + mark.len()..]))
    })
}

fn content(bytes: &Bytes, kind: Kind, member: &Member, options: &ReadOptions) -> Result<Vec<u8>, Refusal> {
    let mut buffer = Vec::new();
    let found = read::read_member(bytes, kind, member, options, &mut buffer);
    turns::end();
    if let Content::Apart(part) = found? {
        buffer.clear();
        part.reader()
            .read_to_end(&mut buffer)
            .map_err(|error| ReadError::io("the archive cannot be read", &error))?;
    }
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zip file of two stored members, made by hand (APPNOTE 4.3): local headers have extra fields of `extra` bytes.
    fn zip_file(extra: usize) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in [("a", &b"first"[..]), ("b", b"second")] {
            let mut crc = flate2::Crc::new();
            crc.update(content);
            let mut common = vec![0; 10];
            common.extend(crc.sum().to_le_bytes());
            common.extend((content.len() as u32).to_le_bytes());
            common.extend((content.len() as u32).to_le_bytes());
            common.extend((name.len() as u16).to_le_bytes());
            let offset = file.len() as u32;
            directory.extend(b"PK\x01\x02\x14\0\x14\0");
            directory.extend(&common[2..]);
            directory.extend([0; 12]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.as_bytes());
            file.extend(b"PK\x03\x04");
            file.extend(&common);
            file.extend((extra as u16).to_le_bytes());
            file.extend(name.as_bytes());
            file.extend(vec![0; extra]);
            file.extend(content);
        }
        let start = file.len() as u32;
        file.extend(&directory);
        file.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
        file.extend((directory.len() as u32).to_le_bytes());
        file.extend(start.to_le_bytes());
        file.extend([0; 2]);
        file
    }

    #[test]
    fn a_directory_asks_for_what_it_needs_and_members_for_their_bytes() {
        for extra in [0, 4, 3000] {
            let file = zip_file(extra);
            let len = file.len() as u64;
            let mut at = file.len() - 30;
            let index = loop {
                match directory(len, &[(at as u64, &file[at..])]).unwrap() {
                    Directory::Read(index) => break index,
                    Directory::Missing(missing) => {
                        assert!((missing as usize) < at);
                        at = missing as usize;
                    }
                }
            };
            assert_eq!(index.members().len(), 2);
            let options = ReadOptions::default();
            for (name, content) in [("a", &b"first"[..]), ("b", b"second")] {
                let member = index.find(name).unwrap();
                let (start, end) = span(member, len).unwrap();
                let part = |end: u64| file[start as usize..end.min(len) as usize].to_vec();
                let found = match unpack(member, part(end), &options).unwrap() {
                    Unpacked::Missing(needed) => {
                        assert_eq!(extra, 3000);
                        unpack(member, part(start + needed), &options).unwrap()
                    }
                    found => found,
                };
                assert!(matches!(found, Unpacked::Content(found) if found == content));
                assert!(unpack(member, part(start + 20), &options).is_err());
            }
        }
    }
}
