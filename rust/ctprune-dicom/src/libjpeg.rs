//! JPEG with libjpeg-turbo's values, for pictures and DICOM frames of 8 bits.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use crate::code::Code;
use crate::error::ReadError;
use crate::slice::Refusal;

/// Real progressive files have some ten scans; each one more costs a pass over the whole picture.
const MAX_SCANS: usize = 100;

/// The decoder keeps planes and, in progressive files, coefficients besides the pixels.
const MEMORY_PER_PIXEL_BYTE: u64 = 4;

/// A decoder of a picture that may have `pixel_bytes` bytes of pixels.
pub(crate) fn decoder(bytes: &[u8], pixel_bytes: u64) -> Result<Decoder<'_>, JpegError> {
    let limits = DecodeLimits {
        max_scans: MAX_SCANS,
        max_memory: Some(pixel_bytes.saturating_mul(MEMORY_PER_PIXEL_BYTE)),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, limits)?;
    // libjpeg's default. It only matters where a progressive file ends before its last scan.
    decoder.set_block_smoothing(true);
    Ok(decoder)
}

/// Decodes a stream of one component and 8 bits, whose size was checked, into `target`.
pub(crate) fn decode_gray(stream: &[u8], target: &mut [u8]) -> Result<(), Refusal> {
    /// Beside the pixels, what small pictures take.
    const TABLES: u64 = 1 << 20;
    let decoded = decoder(stream, TABLES + 2 * target.len() as u64).and_then(|mut decoder| {
        decoder.set_output_format(PixelFormat::Grayscale);
        decoder.decode_image_into(target)
    });
    decoded.map(|_| ()).map_err(|error| match error {
        JpegError::Unsupported(what) => {
            Refusal::unsupported(Code::Unsupported, format!("a JPEG stream with {what}"))
        }
        other => read_error(other).into(),
    })
}

/// What is wrong with a picture.
pub(crate) fn read_error(error: JpegError) -> ReadError {
    match error {
        JpegError::UnexpectedEof => ReadError::Truncated("the JPEG"),
        JpegError::Unsupported(what) => ReadError::Unsupported(format!("JPEG with {what}").into()),
        other => ReadError::Corrupt {
            what: "JPEG",
            reason: other.to_string(),
        },
    }
}
