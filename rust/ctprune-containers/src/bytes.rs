//! A stretch of bytes that many threads read at once: of a file, or in memory. Or one that is read once, as it comes.

use super::feed::Feed;
use ctprune_dicom::open::open_regular;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// A stretch of a file, or of memory.
#[derive(Clone, Debug)]
pub struct Bytes {
    backing: Arc<Backing>,
    start: u64,
    len: u64,
}

#[derive(Debug)]
enum Backing {
    File(File),
    Memory(Vec<u8>),
    Feed(Arc<Feed>),
}

impl Bytes {
    /// All of a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of_file(open_regular(path)?)
    }

    /// All of an open file, wherever it was read up to.
    pub fn of_file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self {
            backing: Arc::new(Backing::File(file)),
            start: 0,
            len,
        })
    }

    /// What is in memory.
    pub fn of_memory(bytes: Vec<u8>) -> Self {
        Self {
            start: 0,
            len: bytes.len() as u64,
            backing: Arc::new(Backing::Memory(bytes)),
        }
    }

    /// What a feed will give, in so many bytes: they can be read once, from the first to the last.
    pub fn of_feed(feed: Arc<Feed>, len: u64) -> Self {
        Self {
            backing: Arc::new(Backing::Feed(feed)),
            start: 0,
            len,
        }
    }

    /// The feed that gives the bytes, if they can be read once only.
    pub fn feed(&self) -> Option<&Arc<Feed>> {
        match &*self.backing {
            Backing::Feed(feed) => Some(feed),
            Backing::File(_) | Backing::Memory(_) => None,
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> u64 {
        match &*self.backing {
            Backing::File(_) | Backing::Feed(_) => 0,
            Backing::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// A part of it; `None` when it does not lie within.
    pub fn slice(&self, start: u64, len: u64) -> Option<Bytes> {
        let end = start.checked_add(len)?;
        (end <= self.len).then(|| Bytes {
            backing: Arc::clone(&self.backing),
            start: self.start + start,
            len,
        })
    }

    /// Some bytes from `offset`, none at the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        if left == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..left];
        let at = self.start.saturating_add(offset);
        match &*self.backing {
            Backing::File(file) => read_file_at(file, buffer, at),
            Backing::Memory(bytes) => {
                buffer.copy_from_slice(&bytes[at as usize..][..left]);
                Ok(left)
            }
            Backing::Feed(feed) => feed.read_at(buffer, at),
        }
    }

    /// As many bytes from `offset` as there are.
    pub fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// A reader of its own position.
    pub fn reader(&self) -> BytesReader {
        BytesReader {
            bytes: self.clone(),
            position: 0,
        }
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

impl rawzip::ReaderAt for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Bytes::read_at(self, buffer, offset)
    }
}

/// Reads [`Bytes`] from a position on.
#[derive(Debug)]
pub struct BytesReader {
    bytes: Bytes,
    position: u64,
}

impl Read for BytesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for BytesReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let wanted = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(back) => self.bytes.len.checked_add_signed(back),
            SeekFrom::Current(on) => self.position.checked_add_signed(on),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "a position before the start");
        self.position = wanted.ok_or_else(before)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_within_their_bounds() {
        let bytes = Bytes::of_memory((0..100).collect());
        let part = bytes.slice(10, 20).unwrap();
        let mut buffer = [0; 50];
        assert_eq!(part.read_full_at(&mut buffer, 15).unwrap(), 5);
        assert_eq!(buffer[..5], [25, 26, 27, 28, 29]);
        assert_eq!(part.read_full_at(&mut buffer, 20).unwrap(), 0);
        assert_eq!(part.read_full_at(&mut buffer, u64::MAX).unwrap(), 0);
        assert!(part.slice(15, 6).is_none() && part.slice(u64::MAX, 2).is_none());
        let mut reader = part.slice(5, 5).unwrap().reader();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, [15, 16, 17, 18, 19]);
        assert_eq!(reader.seek(SeekFrom::End(-2)).unwrap(), 3);
        assert!(reader.seek(SeekFrom::Current(-4)).is_err());
    }
}
