//! The bytes of one frame: cut from native pixel data, or gathered from encapsulated fragments (PS3.5 A.4).

use std::io;

use super::element::{Encoding, ITEM};
use super::header::{Header, PixelElement};
use super::source::{Source, WHOLE_FILE_LIMIT};
use crate::aligned::AlignedBytes;
use crate::error::{ReadError, unexpected};

/// More fragments than any object has: the index would take more memory than a slice may.
const MAX_FRAGMENTS: usize = 1 << 22;

/// One piece of encapsulated pixel data, as offset and length in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    start: u64,
    len: u32,
}

/// Where the frames of an object lie.
#[derive(Debug)]
pub(crate) enum Frames {
    /// One after the other, all of one size.
    Native {
        start: u64,
        frame_bytes: usize,
        available: u64,
    },
    /// In fragments; frame `n` has those from `first[n]` to `first[n + 1]`.
    Encapsulated {
        fragments: Vec<Fragment>,
        first: Vec<usize>,
        limit: usize,
    },
}

impl Frames {
    /// Frames of native pixel data; `available` of them are complete.
    pub fn native(source: &Source<'_>, pixels: &PixelElement, frame_bytes: usize) -> Self {
        let start = pixels.value as u64;
        let there = source.len().saturating_sub(start);
        let len = pixels.length.map_or(there, |length| u64::from(length).min(there));
        Frames::Native {
            start,
            frame_bytes,
            available: len / frame_bytes as u64,
        }
    }

    /// Frames of encapsulated pixel data, of which `wanted` are announced, of `frame_bytes` when decoded.
    pub fn encapsulated(
        source: &mut Source<'_>,
        header: &Header,
        pixels: &PixelElement,
        dataset: &[u8],
        (wanted, frame_bytes): (u64, usize),
    ) -> Result<Self, ReadError> {
        let (offsets, fragments) = index(source, pixels)?;
        let extended = header
            .extended_offsets
            .clone()
            .and_then(|range| dataset.get(range));
        let offsets = match extended {
            Some(table) if !table.is_empty() => table
                .as_chunks::<8>()
                .0
                .iter()
                .map(|&b| u64::from_le_bytes(b))
                .collect(),
            _ => offsets,
        };
        let first = match first_fragments(&fragments, &offsets, wanted) {
            Some(first) => first,
            None => first_by_marker(source, &fragments)?,
        };
        // Twice as long as its pixels is no compressed frame, unless a small one.
        let limit = WHOLE_FILE_LIMIT.max(2 * frame_bytes);
        Ok(Frames::Encapsulated {
            fragments,
            first,
            limit,
        })
    }

    /// Number of frames that are there.
    pub fn available(&self) -> u64 {
        match self {
            Frames::Native { available, .. } => *available,
            Frames::Encapsulated { first, .. } => first.len() as u64,
        }
    }

    /// Bytes of frame `n`, which is less than [`Frames::available`]: borrowed from memory, or in `buffer`.
    pub fn bytes<'b>(
        &self,
        n: u64,
        source: &'b mut Source<'_>,
        buffer: &'b mut AlignedBytes,
    ) -> Result<&'b [u8], ReadError> {
        match self {
            Frames::Native {
                start, frame_bytes, ..
            } => source
                .read_at(start + n * *frame_bytes as u64, *frame_bytes, buffer)
                .map_err(unreadable),
            Frames::Encapsulated {
                fragments,
                first,
                limit,
            } => {
                let n = n as usize;
                let end = first.get(n + 1).copied().unwrap_or(fragments.len());
                joined(&fragments[first[n]..end], *limit, source, buffer)
            }
        }
    }
}

fn unreadable(error: io::Error) -> ReadError {
    ReadError::io("the pixel data cannot be read", &error)
}

/// The bytes of fragments that make one frame, which may be `limit` at most.
fn joined<'b>(
    fragments: &[Fragment],
    limit: usize,
    source: &'b mut Source<'_>,
    buffer: &'b mut AlignedBytes,
) -> Result<&'b [u8], ReadError> {
    let total = fragments
        .iter()
        .fold(0, |sum: usize, f| sum.saturating_add(f.len as usize));
    if total > limit {
        return Err(ReadError::TooLarge {
            what: format!("{total} compressed bytes").into(),
            limit: limit as u64,
        });
    }
    if let [only] = fragments {
        return source
            .read_at(only.start, only.len as usize, buffer)
            .map_err(unreadable);
    }
    let mut piece = AlignedBytes::default();
    let target = buffer.take(total);
    let mut filled = 0;
    for fragment in fragments {
        let bytes = source
            .read_at(fragment.start, fragment.len as usize, &mut piece)
            .map_err(unreadable)?;
        target[filled..filled + bytes.len()].copy_from_slice(bytes);
        filled += bytes.len();
    }
    Ok(&target[..filled])
}

/// Basic Offset Table and fragments. The last fragment of a truncated file is what is left of it.
fn index(source: &mut Source<'_>, pixels: &PixelElement) -> Result<(Vec<u64>, Vec<Fragment>), ReadError> {
    const LITTLE: Encoding = Encoding {
        explicit: true,
        big_endian: false,
    };
    let end = pixels.length.map_or(source.len(), |len| {
        source.len().min(pixels.value as u64 + u64::from(len))
    });
    let mut buffer = AlignedBytes::default();
    let mut at = pixels.value as u64;
    let mut table = None;
    let mut fragments = Vec::new();
    while at + 8 <= end {
        let head = source.read_at(at, 8, &mut buffer).map_err(unreadable)?;
        let Some(&[a, b, c, d, l0, l1, l2, l3]) = head.first_chunk::<8>() else {
            break;
        };
        if LITTLE.tag([a, b, c, d]) != ITEM {
            break;
        }
        let start = at + 8;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let len = u64::from(len).min(end - start) as u32;
        match table {
            None => table = Some(Fragment { start, len }),
            Some(_) if fragments.len() == MAX_FRAGMENTS => {
                return Err(unexpected(
                    "the fragments of the pixel data",
                    format!("{MAX_FRAGMENTS} at most"),
                    "more",
                ));
            }
            Some(_) => fragments.push(Fragment { start, len }),
        }
        at = start + u64::from(len);
    }
    let Some(table) = table else {
        return Err(unexpected("the compressed pixel data", "items", "none"));
    };
    // An offset table that is longer than a table of all fragments can be is none.
    let table = if table.len as usize <= 4 * MAX_FRAGMENTS {
        table
    } else {
        Fragment { len: 0, ..table }
    };
    let bytes = source
        .read_at(table.start, table.len as usize, &mut buffer)
        .map_err(unreadable)?;
    let offsets = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&b| u64::from(u32::from_le_bytes(b)))
        .collect();
    Ok((offsets, fragments))
}

/// The first fragment of each frame, where the number of fragments or an offset table tells it.
fn first_fragments(fragments: &[Fragment], offsets: &[u64], wanted: u64) -> Option<Vec<usize>> {
    let base = fragments.first().map_or(0, |f| f.start - 8);
    if wanted == 1 {
        return Some(if fragments.is_empty() { Vec::new() } else { vec![0] });
    }
    if fragments.len() as u64 <= wanted {
        return Some((0..fragments.len()).collect());
    }
    // An offset points to the item of a frame's first fragment, counted from the first fragment's item.
    let at = |offset: &u64| {
        fragments
            .binary_search_by_key(&(base + 8).saturating_add(*offset), |f| f.start)
            .ok()
    };
    let first: Vec<usize> = offsets.iter().map(at).collect::<Option<_>>()?;
    let ascending = first.windows(2).all(|pair| pair[0] < pair[1]);
    (first.len() as u64 == wanted && first[0] == 0 && ascending).then_some(first)
}

/// The first fragment of each frame, told by the markers that open a JPEG or JPEG 2000 stream.
fn first_by_marker(source: &mut Source<'_>, fragments: &[Fragment]) -> Result<Vec<usize>, ReadError> {
    let mut buffer = AlignedBytes::default();
    let mut first = Vec::new();
    for (n, fragment) in fragments.iter().enumerate() {
        let wanted = fragment.len.min(4) as usize;
        let head = source
            .read_at(fragment.start, wanted, &mut buffer)
            .map_err(unreadable)?;
        if n == 0 || matches!(head, [0xFF, 0xD8, 0xFF, _] | [0xFF, 0x4F, 0xFF, 0x51]) {
            first.push(n);
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragments(lens: &[u32]) -> Vec<Fragment> {
        let mut start = 100;
        let fragment = |&len: &u32| {
            start += 8;
            let fragment = Fragment { start, len };
            start += u64::from(len);
            fragment
        };
        lens.iter().map(fragment).collect()
    }

    #[test]
    fn fragments_go_to_frames_by_number_or_by_table() {
        let three = fragments(&[10, 20, 30]);
        assert_eq!(first_fragments(&three, &[], 1), Some(vec![0]));
        assert_eq!(first_fragments(&three, &[], 3), Some(vec![0, 1, 2]));
        assert_eq!(first_fragments(&three, &[0, 46], 2), Some(vec![0, 2]));
        assert_eq!(first_fragments(&[], &[], 1), Some(vec![]));
    }

    #[test]
    fn a_wrong_table_is_not_followed() {
        let three = fragments(&[10, 20, 30]);
        assert_eq!(first_fragments(&three, &[0, 47], 2), None);
        assert_eq!(first_fragments(&three, &[46, 0], 2), None);
        assert_eq!(first_fragments(&three, &[0, u64::MAX], 2), None);
        assert_eq!(first_fragments(&three, &[], 2), None);
    }
}
