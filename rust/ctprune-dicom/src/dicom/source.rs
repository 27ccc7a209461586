//! The bytes of a file: small files as a whole, large ones piece by piece.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::aligned::AlignedBytes;
use crate::open::open_regular;

/// Files up to this size are read in one go; of larger ones only the header and one frame at a time.
pub(crate) const WHOLE_FILE_LIMIT: usize = 64 << 20;

/// First guess of how far the header of a large file reaches.
pub(crate) const HEADER_PREFIX: u64 = 1 << 20;

/// The same where nothing but the header is wanted: most are shorter, and what is read beyond is in vain.
pub(crate) const HEADER_ALONE: u64 = 1 << 15;

/// No header reaches further: an enhanced CT of ten thousand frames has some 30 MiB of functional groups.
pub(crate) const MAX_HEADER: u64 = 256 << 20;

/// What an [`Input`] reads from.
pub(crate) trait Seekable: Read + Seek {}

impl<T: Read + Seek> Seekable for T {}

/// An open file, or one in memory.
pub(crate) struct Input<'a> {
    reader: Box<dyn Seekable + 'a>,
    /// Its size when it was opened.
    pub len: u64,
}

impl<'a> Input<'a> {
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of_file(open_regular(path)?)
    }

    /// An open regular file, wherever it was read up to.
    pub fn of_file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self::new(file, len))
    }

    /// An input of `len` bytes.
    pub fn new(reader: impl Read + Seek + 'a, len: u64) -> Self {
        Self {
            reader: Box::new(reader),
            len,
        }
    }

    /// A reader of everything from `offset`.
    pub fn reader_from(&mut self, offset: u64) -> io::Result<BufReader<&mut (dyn Seekable + 'a)>> {
        self.reader.seek(SeekFrom::Start(offset))?;
        Ok(BufReader::new(&mut *self.reader))
    }

    /// Up to `wanted` bytes from `offset`.
    pub fn read_at<'b>(
        &mut self,
        offset: u64,
        wanted: usize,
        buffer: &'b mut AlignedBytes,
    ) -> io::Result<&'b [u8]> {
        read_at(&mut *self.reader, offset, wanted, buffer)
    }

    /// The input as the source of pixel data.
    pub fn as_source(&mut self) -> Source<'_> {
        Source::Input {
            reader: &mut *self.reader,
            len: self.len,
        }
    }
}

/// Fills `buffer` with up to `wanted` bytes from `offset`, fewer at the end.
fn read_at<'b>(
    reader: &mut dyn Seekable,
    offset: u64,
    wanted: usize,
    buffer: &'b mut AlignedBytes,
) -> io::Result<&'b [u8]> {
    if reader.stream_position()? != offset {
        reader.seek(SeekFrom::Start(offset))?;
    }
    let target = buffer.take(wanted);
    let mut filled = 0;
    while filled < wanted {
        match reader.read(&mut target[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(&target[..filled])
}

/// Where the value of the pixel element is taken from.
pub(crate) enum Source<'a> {
    /// All bytes of the data set are in memory.
    Memory(&'a [u8]),
    /// They are read when they are needed.
    Input {
        reader: &'a mut (dyn Seekable + 'a),
        len: u64,
    },
}

impl Source<'_> {
    /// Number of bytes there are.
    pub fn len(&self) -> u64 {
        match self {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::Input { len, .. } => *len,
        }
    }

    /// Up to `wanted` bytes from `offset`, fewer at the end; borrowed from memory, else read to `buffer`.
    pub fn read_at<'b>(
        &'b mut self,
        offset: u64,
        wanted: usize,
        buffer: &'b mut AlignedBytes,
    ) -> io::Result<&'b [u8]> {
        match self {
            Source::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(&bytes[start..start + wanted.min(bytes.len() - start)])
            }
            Source::Input { reader, .. } => read_at(*reader, offset, wanted, buffer),
        }
    }
}
