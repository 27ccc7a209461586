//! JPEG, with libjpeg-turbo's values: the accurate integer transform and smooth ("fancy") chroma upsampling.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use super::{Content, Decoded, Picture, grey};
use crate::samples::{failed, slice_bytes};
use crate::slice::{ReadOptions, Refusal};

/// Real progressive files have some ten scans; each one more costs a pass over the whole picture.
const MAX_SCANS: usize = 100;

/// The decoder keeps planes and, in progressive files, coefficients besides the pixels.
const MEMORY_PER_PIXEL_BYTE: u64 = 4;

pub(super) fn decode(bytes: &[u8], options: &ReadOptions, decoded: &mut Decoded) -> Result<Picture, Refusal> {
    let limits = DecodeLimits {
        max_scans: MAX_SCANS,
        max_memory: Some(options.max_slice_bytes.saturating_mul(MEMORY_PER_PIXEL_BYTE)),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(refusal)?;
    // libjpeg's default. It only matters where a progressive file ends before its last scan.
    decoder.set_block_smoothing(true);
    let format = output_format(&decoder)?;
    decoder.set_output_format(format);
    let (rows, columns) = (
        usize::from(decoder.header().height),
        usize::from(decoder.header().width),
    );
    let samples = format.bytes_per_pixel() as u64;
    let length = slice_bytes(rows as u64, columns as u64, samples, options)?;
    let pixels = decoded.samples.bytes_mut(length);
    decoder.decode_image_into(pixels).map_err(refusal)?;
    to_grey(pixels, format, &mut decoded.grey);
    Ok(Picture {
        rows,
        columns,
        content: Content::Grey,
    })
}

/// What Pillow asks libjpeg for: grey, RGB (also from YCbCr) or CMYK (also from YCCK).
fn output_format(decoder: &Decoder<'_>) -> Result<PixelFormat, Refusal> {
    let frame = decoder.header();
    if frame.precision != 8 {
        return Err(failed(format!(
            "expected a JPEG of 8 bits, found {} bits",
            frame.precision
        )));
    }
    match frame.components.len() {
        1 => Ok(PixelFormat::Grayscale),
        3 => Ok(PixelFormat::Rgb),
        4 => {
            let sampling = |c: &libjpeg_turbo_rs::ComponentInfo| (c.horizontal_sampling, c.vertical_sampling);
            let first = sampling(&frame.components[0]);
            if frame
                .components
                .iter()
                .any(|component| sampling(component) != first)
            {
                // The decoder's values differ from libjpeg's here.
                return Err(failed("CMYK JPEG with subsampled colours is not supported"));
            }
            Ok(PixelFormat::Cmyk)
        }
        n => Err(failed(format!(
            "expected a JPEG of 1, 3 or 4 components, found {n}"
        ))),
    }
}

fn to_grey(pixels: &[u8], format: PixelFormat, grey: &mut Vec<u8>) {
    match format {
        PixelFormat::Rgb => grey::from_colours::<3>(pixels, grey),
        PixelFormat::Cmyk => {
            grey.clear();
            // Adobe stores inks inverted, and Pillow takes every CMYK JPEG for Adobe's.
            let inks_of = |pixel: &[u8]| [0, 1, 2, 3].map(|i| 255 - pixel[i]);
            grey.extend(
                pixels
                    .chunks_exact(4)
                    .map(|pixel| grey::luma_of_inks(inks_of(pixel))),
            );
        }
        _ => grey::from_grey(pixels, grey),
    }
}

fn refusal(error: JpegError) -> Refusal {
    match error {
        JpegError::UnexpectedEof => failed("the JPEG is truncated: its data end before its last pixel"),
        JpegError::Unsupported(what) => failed(format!("JPEG of an unsupported kind: {what}")),
        other => failed(format!("the JPEG is corrupt: {other}")),
    }
}
