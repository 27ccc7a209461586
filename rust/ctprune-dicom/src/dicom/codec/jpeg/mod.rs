//! JPEG (ISO/IEC 10918-1) of one component.
//!
//! Two decoders, because of what was measured on 512 × 512 slices (least of 30, one thread):
//!
//! | process | here | libjpeg-turbo-rs 0.9 |
//! |---|---|---|
//! | lossless, all predictors, 2 to 16 bits | 1.7 ms | 4.9 ms |
//! | sequential DCT of 12 bits | 1.9 ms | 4.7 ms |
//! | sequential DCT of 8 bits | 1.4 ms | 0.3 ms |
//!
//! The first two are decoded here, where one component is all that a slice has, which keeps it small. (The
//! other's `decompress_12bit` takes a lone component with sampling factors for several blocks a unit, against
//! A.2.2, too.) All DCT of 8 bits goes to libjpeg-turbo-rs, which reads JPEG files anyway. The values of both
//! are libjpeg-turbo's.

mod dct;
mod huffman;
mod idct;
mod lossless;
mod segments;

use self::segments::Segments;
use crate::code::Code;
use crate::libjpeg;
use crate::slice::Refusal;

/// How near decoded samples are to those that were encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fidelity {
    /// The same.
    Lossless,
    /// Near.
    Lossy,
}

/// Decodes a stream of one component, whose frame header has this marker and precision, into `target`, whose
/// length is that of the frame: samples of one byte where the precision is 8 bits or less, else of two in
/// this machine's byte order.
pub(crate) fn decode(
    stream: &[u8],
    marker: u8,
    precision: u32,
    target: &mut [u8],
) -> Result<Fidelity, Refusal> {
    match (marker, precision) {
        // SOF3: lossless with Huffman coding.
        (0xC3, 2..=8) => lossless::decode(&Segments::read(stream)?, target)?,
        (0xC3, 9..=16) => lossless::decode(&Segments::read(stream)?, words(target))?,
        // SOF0, SOF1: sequential DCT with Huffman coding.
        (0xC0 | 0xC1, 12) => dct::decode(&Segments::read(stream)?, words(target))?,
        // SOF2: progressive; SOF9, SOF10: the same two with arithmetic coding.
        (0xC0..=0xC2 | 0xC9 | 0xCA, 8) => libjpeg::decode_gray(stream, target)?,
        _ => {
            let process = marker - 0xC0;
            let reason = format!("a JPEG stream of process SOF{process} with {precision} bits");
            return Err(Refusal::unsupported(Code::UnsupportedSyntax, reason));
        }
    }
    Ok(match marker {
        0xC3 => Fidelity::Lossless,
        _ => Fidelity::Lossy,
    })
}

/// Two bytes as a sample.
fn words(bytes: &mut [u8]) -> &mut [u16] {
    bytemuck::cast_slice_mut(bytes)
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
