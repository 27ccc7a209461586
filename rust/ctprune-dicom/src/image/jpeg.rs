//! JPEG, with libjpeg-turbo's values: the accurate integer transform and smooth ("fancy") chroma upsampling.

use libjpeg_turbo_rs::{Decoder, PixelFormat};

use super::{Content, Decoded, Picture, gray};
use crate::error::{ReadError, unexpected};
use crate::libjpeg::{self, read_error};
use crate::samples::slice_bytes;
use crate::slice::ReadOptions;

pub(super) fn decode(
    bytes: &[u8],
    options: &ReadOptions,
    decoded: &mut Decoded,
) -> Result<Picture, ReadError> {
    let mut decoder = libjpeg::decoder(bytes, options.max_slice_bytes).map_err(read_error)?;
    let format = output_format(&decoder)?;
    decoder.set_output_format(format);
    let (rows, columns) = (
        usize::from(decoder.header().height),
        usize::from(decoder.header().width),
    );
    let samples = format.bytes_per_pixel() as u64;
    let length = slice_bytes(rows as u64, columns as u64, samples, options)?;
    let pixels = decoded.samples.take(length);
    decoder.decode_image_into(pixels).map_err(read_error)?;
    to_gray(pixels, format, &mut decoded.gray);
    Ok(Picture {
        rows,
        columns,
        content: Content::Gray,
    })
}

/// What Pillow asks libjpeg for: gray, RGB (also from YCbCr) or CMYK (also from YCCK).
fn output_format(decoder: &Decoder<'_>) -> Result<PixelFormat, ReadError> {
    let frame = decoder.header();
    if frame.precision != 8 {
        return Err(unexpected(
            "the depth of the JPEG",
            "8 bits",
            format!("{} bits", frame.precision),
        ));
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
                return Err(ReadError::Unsupported("CMYK JPEG with subsampled colors".into()));
            }
            Ok(PixelFormat::Cmyk)
        }
        n => Err(unexpected("the components of the JPEG", "1, 3 or 4", n)),
    }
}

fn to_gray(pixels: &[u8], format: PixelFormat, gray: &mut Vec<u8>) {
    match format {
        PixelFormat::Rgb => gray::from_colors::<3>(pixels, gray),
        PixelFormat::Cmyk => {
            gray.clear();
            // Adobe stores inks inverted, and Pillow takes every CMYK JPEG for Adobe's.
            let inks_of = |pixel: &[u8]| [0, 1, 2, 3].map(|i| 255 - pixel[i]);
            gray.extend(
                pixels
                    .chunks_exact(4)
                    .map(|pixel| gray::luma_of_inks(inks_of(pixel))),
            );
        }
        _ => gray::from_gray(pixels, gray),
    }
}
