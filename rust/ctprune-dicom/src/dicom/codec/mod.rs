//! One compressed frame → samples in this machine's byte order.
//!
//! RLE, lossless and 12-bit JPEG, and JPEG-LS are decoded here, JPEG 2000 and HTJ2K by [`ctprune_jpeg2000`],
//! JPEG of 8 bits by libjpeg-turbo-rs, JPEG XL by jxl-oxide. (dicom-rs wraps the latter so that 12-bit
//! samples are stretched to 16 bits.) All of it is Rust: no broken stream reaches C, and no C compiler is
//! needed.

pub(crate) mod bits;
mod jpeg;
mod jpeg_2000;
mod jpeg_xl;
mod rle;
mod stream;

use self::jpeg::Fidelity;
use super::stored::Sample;
use super::transfer_syntax::Compression;
use crate::aligned::AlignedBytes;
use crate::contain::contained;
use crate::error::ReadError;
use crate::slice::Refusal;

/// What the data set announces about a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub rows: u32,
    pub columns: u32,
    pub sample: Sample,
}

impl Expected {
    fn pixels(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    fn signed(&self) -> bool {
        matches!(self.sample, Sample::Integer { signed: true, .. })
    }

    /// Samples of `size` bytes from a codec that knows no signs: the sign is at Bits Stored. If the samples
    /// are narrower than that, it was never there.
    fn signed_at_stored(&self, size: usize) -> Sample {
        let bits = 8 * size as u32;
        match self.sample {
            Sample::Integer { stored, signed, .. } if stored <= bits => {
                Sample::low_bits(size, stored, signed)
            }
            _ => Sample::low_bits(size, bits, false),
        }
    }
}

/// Decodes `frame` into `rows × columns` samples at the start of `target`; returns how they lie there.
pub(crate) fn decode(
    compression: Compression,
    frame: &[u8],
    expected: &Expected,
    target: &mut AlignedBytes,
) -> Result<Sample, Refusal> {
    contained(|| match compression {
        Compression::Rle => decode_rle(frame, expected, target),
        Compression::Jpeg => decode_jpeg(frame, expected, target),
        Compression::JpegLs => decode_jpeg_ls(frame, expected, target),
        Compression::Jpeg2000 => decode_jpeg_2000(frame, expected, target),
        Compression::JpegXl => decode_jpeg_xl(frame, expected, target),
        Compression::None | Compression::Encapsulated | Compression::Unsupported => {
            Err(ReadError::Invalid("the frame is not compressed in a known way").into())
        }
    })
}

fn decode_rle(frame: &[u8], expected: &Expected, target: &mut AlignedBytes) -> Result<Sample, Refusal> {
    let (pixels, size) = (expected.pixels(), expected.sample.bytes());
    let memory = target.take(pixels * size + rle::scratch_bytes(pixels, size));
    let (target, scratch) = memory.split_at_mut(pixels * size);
    rle::decode(frame, size, target, scratch)?;
    Ok(expected.sample)
}

fn decode_jpeg(frame: &[u8], expected: &Expected, target: &mut AlignedBytes) -> Result<Sample, Refusal> {
    let (marker, stream) =
        stream::jpeg(frame).ok_or(ReadError::Missing("the frame header of the JPEG stream"))?;
    let stream = stream.checked("JPEG", expected)?;
    let size = stream.sample_bytes();
    let target = target.take(expected.pixels() * size);
    Ok(match jpeg::decode(frame, marker, stream.precision, target)? {
        Fidelity::Lossy if !expected.signed() => {
            // Lossy samples can exceed Bits Stored a little: to drop their highest bit would make white black.
            Sample::low_bits(size, 8 * size as u32, false)
        }
        _ => expected.signed_at_stored(size),
    })
}

fn decode_jpeg_ls(frame: &[u8], expected: &Expected, target: &mut AlignedBytes) -> Result<Sample, Refusal> {
    let (_, stream) =
        stream::jpeg(frame).ok_or(ReadError::Missing("the frame header of the JPEG-LS stream"))?;
    let stream = stream.checked("JPEG-LS", expected)?;
    let size = stream.sample_bytes();
    crate::jpeg_ls::decode(
        frame,
        expected.columns as usize,
        stream.precision,
        target.take(expected.pixels() * size),
    )?;
    // JPEG-LS knows no signs; the highest bit that the stream has is the sign.
    let bits = if expected.signed() {
        stream.precision
    } else {
        8 * size as u32
    };
    Ok(Sample::low_bits(size, bits, expected.signed()))
}

fn decode_jpeg_2000(frame: &[u8], expected: &Expected, target: &mut AlignedBytes) -> Result<Sample, Refusal> {
    let frame = stream::jpeg2000_codestream(frame).unwrap_or_default();
    let stream = stream::jpeg2000(frame).ok_or(ReadError::Missing("the size of the JPEG 2000 stream"))?;
    let stream = stream.checked("JPEG 2000", expected)?;
    let size = stream.sample_bytes();
    let shape = (expected.rows as usize, expected.columns as usize);
    jpeg_2000::decode(frame, shape, target.take(expected.pixels() * size))?;
    // Where stream and data set disagree on the sign, writers meant the data set's: the bits are the same.
    let bits = if stream.signed == expected.signed() {
        8 * size as u32
    } else {
        stream.precision
    };
    Ok(Sample::low_bits(size, bits, expected.signed()))
}

fn decode_jpeg_xl(frame: &[u8], expected: &Expected, target: &mut AlignedBytes) -> Result<Sample, Refusal> {
    let image = jpeg_xl::Image::read(frame, expected.pixels())?;
    let stream = image.stream().checked("JPEG XL", expected)?;
    let size = stream.sample_bytes();
    image.decode(target.take(expected.pixels() * size))?;
    Ok(expected.signed_at_stored(size))
}
