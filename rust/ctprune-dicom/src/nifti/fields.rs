//! The bytes of a NIfTI-1 or NIfTI-2 header as numbers.
//!
//! Offsets are those of `nifti1.h` and `nifti2.h` (<https://nifti.nimh.nih.gov>).

use crate::error::{ReadError, unexpected};

/// Bytes of a NIfTI-1 header.
pub(super) const V1_BYTES: usize = 348;
/// Bytes of a NIfTI-2 header.
pub(super) const V2_BYTES: usize = 540;

/// Header extensions lie between header and data; more than this many bytes of them is a broken file.
const MAX_DATA_START: u64 = 1 << 28;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) two: bool,
    pub(super) big_endian: bool,
    /// Header and data in two files.
    pub(super) pair: bool,
}

/// What the size field and the magic of a header say; `None` when they are not NIfTI's.
pub(super) fn version(head: &[u8]) -> Option<Version> {
    let size: [u8; 4] = head.get(..4)?.try_into().ok()?;
    let is = |size_of_header: usize| {
        let expected = size_of_header as u32;
        [
            (false, u32::from_le_bytes(size)),
            (true, u32::from_be_bytes(size)),
        ]
        .iter()
        .find_map(|&(big_endian, found)| (found == expected).then_some(big_endian))
    };
    if let Some(big_endian) = is(V1_BYTES) {
        let pair = is_pair(head.get(344..348)?, b"n+1\0", b"ni1\0")?;
        return Some(Version {
            two: false,
            big_endian,
            pair,
        });
    }
    let big_endian = is(V2_BYTES)?;
    let pair = is_pair(head.get(4..12)?, b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")?;
    Some(Version {
        two: true,
        big_endian,
        pair,
    })
}

fn is_pair(magic: &[u8], single: &[u8], pair: &[u8]) -> Option<bool> {
    (magic == single || magic == pair).then_some(magic == pair)
}

/// A header's bytes with their byte order. Offsets are constants within the header's length.
pub(super) struct Fields<'a> {
    pub(super) bytes: &'a [u8; V2_BYTES],
    pub(super) version: Version,
}

impl Fields<'_> {
    /// A field that both versions hold in the same type, at different offsets.
    pub(super) fn by_version<T>(&self, read: impl Fn(&Self, usize) -> T, one: usize, two: usize) -> T {
        read(self, if self.version.two { two } else { one })
    }

    /// A real number: the `index`th of those at `one` (NIfTI-1, 32 bits) or `two` (NIfTI-2, 64 bits).
    pub(super) fn real(&self, one: usize, two: usize, index: usize) -> f64 {
        if self.version.two {
            f64::from_bits(self.bits(two + 8 * index, 8))
        } else {
            f64::from(f32::from_bits(self.bits(one + 4 * index, 4) as u32))
        }
    }

    /// An integer of 16 bits in NIfTI-1, of 32 in NIfTI-2.
    pub(super) fn code(&self, one: usize, two: usize) -> i32 {
        if self.version.two {
            self.bits(two, 4) as i32
        } else {
            i32::from(self.i16(one))
        }
    }

    /// The spatial and temporal units: one byte in NIfTI-1, four in NIfTI-2.
    pub(super) fn units(&self) -> u8 {
        if self.version.two {
            self.bits(500, 4) as u8
        } else {
            self.bytes[123]
        }
    }

    pub(super) fn i16(&self, at: usize) -> i16 {
        self.bits(at, 2) as i16
    }

    pub(super) fn dimension(&self, index: usize) -> i64 {
        if self.version.two {
            self.bits(16 + 8 * index, 8) as i64
        } else {
            i64::from(self.i16(40 + 2 * index))
        }
    }

    pub(super) fn size(&self) -> u64 {
        if self.version.two {
            V2_BYTES as u64
        } else {
            V1_BYTES as u64
        }
    }

    /// scl_slope and scl_inter; a slope of 0 means that there is no scaling.
    pub(super) fn scaling(&self) -> (f64, f64) {
        let (slope, intercept) = (self.real(112, 176, 0), self.real(116, 184, 0));
        if slope == 0.0 || !slope.is_finite() {
            return (1.0, 0.0);
        }
        (slope, if intercept.is_finite() { intercept } else { 0.0 })
    }

    /// Bytes from the end of the header to the data: vox_offset less the header's size. An offset of 0 means the
    /// smallest one, which leaves room for the four bytes that announce extensions.
    pub(super) fn gap(&self) -> Result<u64, ReadError> {
        let offset = if self.version.two {
            self.bits(168, 8) as i64 as f64
        } else {
            self.real(108, 0, 0)
        };
        let header = self.size();
        if offset == 0.0 {
            return Ok(4);
        }
        if offset >= header as f64 && offset <= MAX_DATA_START as f64 {
            return Ok(offset as u64 - header);
        }
        Err(unexpected(
            "the start of the NIfTI data",
            format!("{header} bytes or more"),
            offset,
        ))
    }

    /// `count` bytes from `at` as an integer, in the file's byte order.
    fn bits(&self, at: usize, count: usize) -> u64 {
        let bytes = &self.bytes[at..at + count];
        let shift_in = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
        if self.version.big_endian {
            bytes.iter().fold(0, shift_in)
        } else {
            bytes.iter().rev().fold(0, shift_in)
        }
    }
}
