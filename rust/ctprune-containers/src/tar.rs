//! The headers of a tar file, one after the other: ustar, GNU and pax (POSIX.1-2017).

use super::bytes::{Bytes, BytesReader};
use super::index::{Extent, Index, Member, failed};
use super::names::{is_folder, member_name};
use super::{Kind, MAX_MEMBERS, corrupt};
use ctprune_dicom::code::Code;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::Refusal;
use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use tar::{EntryType, Header, PaxExtensions};

/// Tar files consist of blocks of this size.
pub(super) const BLOCK: usize = 512;

/// Longest name or pax header that is taken: of a hostile file it could be gigabytes.
const MAX_EXTENSION: u64 = 1 << 20;

/// Why nothing is taken from a packed file that its own checksum, or its decoder, calls damaged.
pub(super) const DAMAGED: &str = "it cannot be unpacked, or its checksum does not match, so no file in it can be trusted: download or copy it again";

const CUT: &str = "it ends within a member, so later members are missing: download or copy it again";

/// A source whose bytes can be left out.
pub(super) trait Skip: Read {
    /// Leaves out so many bytes; fewer at the end.
    fn skip(&mut self, bytes: u64) -> io::Result<u64>;
}

impl Skip for BufReader<BytesReader> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let here = self.stream_position()?;
        let end = self.seek(SeekFrom::End(0))?;
        let target = here.saturating_add(bytes).min(end);
        self.seek(SeekFrom::Start(target))?;
        Ok(target - here)
    }
}

impl Skip for Box<dyn Read + Send> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.take(bytes), &mut io::sink())
    }
}

/// A member's header was read; its content comes next.
pub(super) struct Entry {
    /// Name and size; no extent where it cannot be read.
    pub member: Member,
    /// Bytes of content that follow, whatever it is.
    pub content: u64,
}

/// Reads the members of a tar file.
pub(super) struct Entries<R> {
    kind: Kind,
    source: R,
    position: u64,
    /// Bytes until the next header.
    left: u64,
    count: usize,
    /// Whether reading has failed in a way that only damage explains: decoders say so once.
    has_met_damage: Cell<bool>,
}

/// Whether a block is the header of a member: its sum says so.
pub(super) fn is_header(block: &[u8; BLOCK]) -> bool {
    let header = Header::from_byte_slice(block);
    // The field of the sum counts as spaces.
    let sum = |values: &[u8]| values.iter().map(|&value| u32::from(value)).sum::<u32>();
    let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    block[0] != 0 && header.cksum().is_ok_and(|found| found == expected)
}

impl<R: Skip> Entries<R> {
    pub fn new(kind: Kind, source: R) -> Self {
        Self {
            kind,
            source,
            position: 0,
            left: 0,
            count: 0,
            has_met_damage: Cell::new(false),
        }
    }

    /// Reads content of the member whose header was read last.
    pub fn read(&mut self, bytes: u64, into: &mut Vec<u8>) -> Result<(), ReadError> {
        let read = (&mut self.source).take(bytes).read_to_end(into);
        let read = read.map_err(|error| self.unreadable(&error))? as u64;
        self.position += read;
        self.left -= read.min(self.left);
        if read < bytes { Err(self.cut()) } else { Ok(()) }
    }

    /// The next member that is no folder, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        let mut extension = Extension::default();
        loop {
            self.skip_rest()?;
            let Some(block) = self.header()? else {
                return Ok(None);
            };
            let header = Header::from_byte_slice(&block);
            let size = header
                .entry_size()
                .map_err(|_| corrupt(self.kind, "a member's size is no number"))?;
            self.left = padded(size);
            match header.entry_type() {
                EntryType::GNULongName => extension.name = Some(self.text(size)?),
                EntryType::GNULongLink | EntryType::XGlobalHeader => {}
                EntryType::XHeader => extension.read_pax(&self.text(size)?),
                other => {
                    let entry = self.entry(header, other, size, std::mem::take(&mut extension))?;
                    if let Some(entry) = entry {
                        self.count += 1;
                        if self.count > MAX_MEMBERS {
                            let reason = format!("more than {MAX_MEMBERS} members: unpack it");
                            return Err(corrupt(self.kind, reason));
                        }
                        return Ok(Some(entry));
                    }
                }
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extension: Extension,
    ) -> Result<Option<Entry>, ReadError> {
        let size = extension.size.unwrap_or(size);
        self.left = padded(size);
        let raw = extension.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let extended = header
            .as_gnu()
            .is_some_and(|gnu| kind.is_gnu_sparse() && gnu.is_extended());
        if extended {
            self.skip_sparse_map()?;
        }
        let refusal = if extension.is_sparse || kind.is_gnu_sparse() {
            Some(failed("sparse: repack the archive with tar without --sparse"))
        } else {
            match kind {
                EntryType::Directory => return Ok(None),
                // Before POSIX, a slash at the end made a folder.
                EntryType::Regular if is_folder(&raw) => return Ok(None),
                EntryType::Regular | EntryType::Continuous => None,
                EntryType::Link | EntryType::Symlink => {
                    // Some writers give the size of what a link points to.
                    self.left = if kind == EntryType::Symlink { 0 } else { self.left };
                    Some(Refusal::skipped(Code::Linked, "link within an archive"))
                }
                // The label of a tape, the list of a folder.
                EntryType::Char | EntryType::Block | EntryType::Fifo => Some(failed("not a regular file")),
                other if b"VD".contains(&other.as_byte()) => return Ok(None),
                _ => Some(failed("unsupported kind of member: unpack the archive")),
            }
        };
        let mut member = match member_name(&raw) {
            Ok(name) => Member {
                name,
                size,
                extent: Ok(Extent {
                    offset: self.position,
                    stored: size,
                    deflated: false,
                    crc: None,
                }),
            },
            Err(bad) => Member::unnamed(bad, size),
        };
        if let Some(refusal) = refusal {
            member.extent = Err(refusal);
        }
        Ok(Some(Entry {
            member,
            content: size,
        }))
    }

    /// Reads what is left and says whether the packed file is damaged: its checksum stands at the end.
    pub fn is_damaged(&mut self) -> bool {
        let rest = io::copy(&mut self.source, &mut io::sink());
        self.has_met_damage.get() || rest.is_err_and(|error| is_damage(&error))
    }

    /// The next header. The end is marked by blocks of zeros; behind them, another tar file may follow.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ReadError> {
        let mut marked = false;
        loop {
            let mut block = [0; BLOCK];
            match self.block(&mut block)? {
                0 if marked => return Ok(None),
                0 => {
                    let reason = "it has no end mark, so members may be missing: download or copy it again";
                    return Err(corrupt(self.kind, reason));
                }
                BLOCK => {}
                _ if marked => return Ok(None),
                _ => return Err(self.cut()),
            }
            if block.iter().all(|&byte| byte == 0) {
                marked = true;
            } else if is_header(&block) {
                return Ok(Some(block));
            } else {
                let position = if marked {
                    "after its end mark"
                } else {
                    "between its members"
                };
                let reason =
                    format!("expected a header {position}, found other bytes, so the rest was not read");
                return Err(corrupt(self.kind, reason));
            }
        }
    }

    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<usize, ReadError> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    /// What an extension says, a name or a pax header.
    fn text(&mut self, size: u64) -> Result<Vec<u8>, ReadError> {
        if size > MAX_EXTENSION {
            return Err(corrupt(self.kind, format!("a name or header of {size} bytes")));
        }
        let mut text = Vec::new();
        self.read(size, &mut text)?;
        // Names end with a zero byte, pax headers with a line.
        while text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    /// Steps over the rest of an old GNU sparse map, which is not part of the content.
    fn skip_sparse_map(&mut self) -> Result<(), ReadError> {
        loop {
            let mut block = [0; BLOCK];
            if self.block(&mut block)? < BLOCK {
                return Err(self.cut());
            }
            // The flag behind 21 entries of 24 bytes (struct sparse_header).
            if block[504] == 0 {
                return Ok(());
            }
        }
    }

    fn skip_rest(&mut self) -> Result<(), ReadError> {
        let wanted = std::mem::take(&mut self.left);
        let skipped = self
            .source
            .skip(wanted)
            .map_err(|error| self.unreadable(&error))?;
        self.position += skipped;
        if skipped < wanted { Err(self.cut()) } else { Ok(()) }
    }

    fn cut(&self) -> ReadError {
        corrupt(self.kind, CUT)
    }

    fn unreadable(&self, error: &io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut(),
            _ if is_damage(error) => {
                self.has_met_damage.set(true);
                corrupt(self.kind, DAMAGED)
            }
            io::ErrorKind::FileTooLarge => {
                let reason = format!("{error}, and the rest was not read: unpack it if you trust it");
                corrupt(self.kind, reason)
            }
            _ => ReadError::io("the archive cannot be read", error),
        }
    }
}

/// What stands before a member's header and belongs to it.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl Extension {
    fn read_pax(&mut self, text: &[u8]) {
        for record in PaxExtensions::new(text).flatten() {
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.name = Some(value.to_vec()),
                b"size" => {
                    let text = std::str::from_utf8(value).unwrap_or_default();
                    self.size = text.parse().ok();
                }
                key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
        }
    }
}

/// Whether a decoder says that what it was given cannot be right.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other
    )
}

fn padded(size: u64) -> u64 {
    size.saturating_add(BLOCK as u64 - 1) / BLOCK as u64 * BLOCK as u64
}

/// The members of a plain tar file: those before the first fault, if there is one.
pub(super) fn index(bytes: &Bytes) -> Index {
    let mut entries = Entries::new(Kind::Tar, BufReader::with_capacity(4 * BLOCK, bytes.reader()));
    let mut members = Vec::new();
    let broken = loop {
        match entries.next() {
            Ok(Some(entry)) => members.push(entry.member),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    for member in &mut members {
        let outside = |extent: &Extent| bytes.slice(extent.offset, extent.stored).is_none();
        if member.extent.as_ref().is_ok_and(outside) {
            member.extent = Err(failed(
                "cut off by the end of the archive: download or copy it again",
            ));
        }
    }
    Index::new(members, broken)
}
