//! JPEG (ISO/IEC 10918-1) of one component: lossless (process 14, all predictors, 2 to 16 bits) and
//! sequential DCT (baseline and extended, 8 and 12 bits).
//!
//! No Rust crate reads 12-bit DCT streams, and the general ones read lossless streams several times slower
//! than CT archives deserve. One component is all that a slice has, which keeps this small.

mod dct;
mod huffman;
mod idct;
mod lossless;
mod segments;

use self::segments::{Process, Segments};

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is decoded, and its samples are those that were encoded.
    Lossless,
    /// It is decoded, and its samples are near those that were encoded.
    Lossy,
    /// It is of a process that is not implemented here: progressive, hierarchical, arithmetic coding.
    OtherProcess,
}

/// Decodes a stream of one component into `target`, whose length is that of the frame: samples of one byte
/// where the precision is 8 bits or less, else of two in this machine's byte order.
pub(crate) fn decode(stream: &[u8], target: &mut [u8]) -> Result<Outcome, String> {
    let segments = Segments::read(stream)?;
    match segments.process {
        Process::Other => {}
        Process::Lossless if segments.precision <= 8 => lossless::decode(&segments, target)?,
        Process::Lossless => lossless::decode(&segments, bytemuck::cast_slice_mut::<u8, u16>(target))?,
        Process::Sequential if segments.precision == 8 => dct::decode(&segments, target)?,
        Process::Sequential => dct::decode(&segments, bytemuck::cast_slice_mut::<u8, u16>(target))?,
    }
    Ok(match segments.process {
        Process::Lossless => Outcome::Lossless,
        Process::Sequential => Outcome::Lossy,
        Process::Other => Outcome::OtherProcess,
    })
}

/// The type of a decoded sample.
pub(crate) trait Sample: Copy {
    /// The lowest bits of `value`.
    fn low_bits(value: u32) -> Self;
    /// The value.
    fn value(self) -> u32;
}

impl Sample for u8 {
    fn low_bits(value: u32) -> Self {
        value as u8
    }

    fn value(self) -> u32 {
        u32::from(self)
    }
}

impl Sample for u16 {
    fn low_bits(value: u32) -> Self {
        value as u16
    }

    fn value(self) -> u32 {
        u32::from(self)
    }
}
