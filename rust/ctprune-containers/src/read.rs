//! The content of one member of an indexed container.

use super::bytes::Bytes;
use super::index::{Extent, Member};
use super::{Kind, member_limit, zip};
use ctprune_dicom::code::Code;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::{ReadOptions, Refusal};
use ctprune_dicom::turns;
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use std::io::{BufReader, Read};

/// Bytes that are read at a time.
const PORTION: usize = 1 << 16;

/// Where the content of a member is now.
pub enum Content {
    /// In the buffer.
    Buffered,
    /// Still in the container, where it lies as it is: it is large.
    Apart(Bytes),
}

/// Reads a member of a container, into `buffer` unless it is large and lies there as it is. Its checksum is compared.
///
/// Large slices take turns: who is done with it calls [`turns::end`].
pub(super) fn read_member(
    bytes: &Bytes,
    kind: Kind,
    member: &Member,
    options: &ReadOptions,
    buffer: &mut Vec<u8>,
) -> Result<Content, Refusal> {
    let extent = *member.extent.as_ref().map_err(Refusal::clone)?;
    let stored = stored_bytes(bytes, kind, extent)?;
    buffer.clear();
    if buffer.capacity() as u64 > turns::LARGE {
        *buffer = Vec::new();
    }
    if extent.deflated {
        inflate(&stored, member.size, options, buffer)?;
    } else if stored.len() > turns::LARGE {
        if let Some(expected) = extent.crc {
            check(expected, crc_of(&stored)?)?;
        }
        return Ok(Content::Apart(stored));
    } else {
        read_all(&stored, buffer)?;
    }
    if let Some(expected) = extent.crc {
        let mut crc = Crc::new();
        crc.update(buffer);
        check(expected, crc.sum())?;
    }
    Ok(Content::Buffered)
}

/// The first bytes of a member's content; fewer where it is damaged.
pub(super) fn read_head(
    bytes: &Bytes,
    kind: Kind,
    extent: Extent,
    head: &mut [u8],
) -> Result<usize, ReadError> {
    let stored = stored_bytes(bytes, kind, extent)?;
    if !extent.deflated {
        return stored.read_full_at(head, 0).map_err(|error| unreadable(&error));
    }
    let mut decoder = DeflateDecoder::new(BufReader::with_capacity(PORTION, stored.reader()));
    let mut filled = 0;
    while filled < head.len() {
        match decoder.read(&mut head[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    Ok(filled)
}

/// A member's bytes as they lie in the container.
pub(super) fn stored_bytes(bytes: &Bytes, kind: Kind, extent: Extent) -> Result<Bytes, ReadError> {
    let start = match kind {
        Kind::Zip => zip::content_offset(bytes, extent)?,
        Kind::Tar | Kind::TarGz | Kind::TarZst => extent.offset,
    };
    let cut = ReadError::Invalid("cut off by the end of the archive: download or copy it again");
    bytes.slice(start, extent.stored).ok_or(cut)
}

fn read_all(stored: &Bytes, buffer: &mut Vec<u8>) -> Result<(), ReadError> {
    let expected = stored.len();
    buffer.reserve(expected as usize);
    let read = stored.reader().take(expected).read_to_end(buffer);
    let found = read.map_err(|error| unreadable(&error))? as u64;
    if found < expected {
        return Err(ReadError::TooFew {
            what: "the member".into(),
            unit: "byte",
            expected,
            found,
        });
    }
    Ok(())
}

fn inflate(stored: &Bytes, size: u64, options: &ReadOptions, buffer: &mut Vec<u8>) -> Result<(), ReadError> {
    check_size(size, options)?;
    turns::wait_for(size, options);
    // What is announced is believed up to a point: a few bytes can announce anything.
    buffer.reserve(size.min(turns::LARGE) as usize);
    let decoder = DeflateDecoder::new(BufReader::with_capacity(PORTION, stored.reader()));
    // One byte more would be more than announced.
    let read = decoder.take(size + 1).read_to_end(buffer);
    let found = read.map_err(|error| ReadError::Corrupt {
        what: "deflated member",
        reason: error.to_string(),
    })? as u64;
    if found != size {
        return Err(ReadError::Unexpected {
            what: "the size of the member".into(),
            expected: size.to_string().into(),
            found: if found > size {
                "more".into()
            } else {
                found.to_string().into()
            },
        });
    }
    Ok(())
}

/// Refuses what would take too much memory.
pub fn check_size(size: u64, options: &ReadOptions) -> Result<(), ReadError> {
    let limit = member_limit(options.max_slice_bytes);
    if size > limit {
        return Err(ReadError::other(
            Code::TooLarge,
            format!(
                "the member has {size} bytes unpacked, expected at most {limit}: raise --max-slice-mb, or unpack the archive"
            ),
        ));
    }
    Ok(())
}

fn crc_of(stored: &Bytes) -> Result<u32, ReadError> {
    let (mut crc, mut reader, mut portion) = (Crc::new(), stored.reader(), vec![0; 16 * PORTION]);
    loop {
        match reader.read(&mut portion).map_err(|error| unreadable(&error))? {
            0 => return Ok(crc.sum()),
            read => crc.update(&portion[..read]),
        }
    }
}

fn check(expected: u32, found: u32) -> Result<(), ReadError> {
    if expected == found {
        return Ok(());
    }
    Err(ReadError::Invalid(
        "its checksum does not match: the archive is damaged, download or copy it again",
    ))
}

fn unreadable(error: &std::io::Error) -> ReadError {
    ReadError::io("the archive cannot be read", error)
}
