//! PNG of every color type and depth.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Limits};

use super::{Content, Decoded, Picture, gray};
use crate::code::Code;
use crate::error::ReadError;
use crate::samples::{SampleType, make_native, slice_bytes};
use crate::slice::ReadOptions;

pub(super) fn decode(
    bytes: &[u8],
    options: &ReadOptions,
    decoded: &mut Decoded,
) -> Result<Picture, ReadError> {
    let limits = Limits {
        bytes: usize::try_from(options.max_slice_bytes).unwrap_or(usize::MAX),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(read_error)?;
    let (rows, columns) = (header.height, header.width);
    slice_bytes(
        rows.into(),
        columns.into(),
        header.bytes_per_pixel() as u64,
        options,
    )?;
    let mut reader = decoder.read_info().map_err(read_error)?;
    let length = reader.output_buffer_size().ok_or(ReadError::other(
        Code::TooLarge,
        "the PNG is larger than the address space",
    ))?;
    let pixels = decoded.samples.take(length);
    if reader.info().interlaced {
        // The decoder merges the passes of small samples bit by bit, so the bits must start as 0.
        pixels.fill(0);
    }
    reader.next_frame(pixels).map_err(read_error)?;
    let content = to_content(reader.info(), pixels, &mut decoded.gray)?;
    Ok(Picture {
        rows: rows as usize,
        columns: columns as usize,
        content,
    })
}

/// Gray of 16 bits keeps its values (alpha is dropped); everything else becomes 8-bit gray.
fn to_content(info: &Info<'_>, pixels: &mut [u8], gray: &mut Vec<u8>) -> Result<Content, ReadError> {
    let bits = info.bit_depth as u8;
    let columns = info.width as usize;
    match (info.color_type, info.bit_depth) {
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            make_native(pixels, 2, true);
            return Ok(Content::Samples(SampleType::U16));
        }
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            drop_alpha(pixels);
            make_native(&mut pixels[..], 2, true);
            return Ok(Content::Samples(SampleType::U16));
        }
        (ColorType::Grayscale, BitDepth::Eight) => gray::from_gray(pixels, gray),
        (ColorType::Grayscale, _) => gray::from_packed(pixels, bits, columns, &gray::ramp(bits), gray),
        (ColorType::GrayscaleAlpha, _) => {
            gray.clear();
            gray.extend(pixels.iter().step_by(2));
        }
        (ColorType::Indexed, _) => {
            let palette = info
                .palette
                .as_ref()
                .ok_or(ReadError::Missing("the palette of the PNG"))?;
            gray::from_packed(pixels, bits, columns, &gray::palette_ramp(palette), gray);
        }
        (ColorType::Rgb, BitDepth::Sixteen) => from_deep_colors::<6>(pixels, gray),
        (ColorType::Rgba, BitDepth::Sixteen) => from_deep_colors::<8>(pixels, gray),
        (ColorType::Rgb, _) => gray::from_colors::<3>(pixels, gray),
        (ColorType::Rgba, _) => gray::from_colors::<4>(pixels, gray),
    }
    Ok(Content::Gray)
}

/// Pillow reads colors of 16 bits by their high byte, which comes first. `N` is bytes a pixel.
fn from_deep_colors<const N: usize>(pixels: &[u8], gray: &mut Vec<u8>) {
    gray.clear();
    gray.extend(
        pixels
            .chunks_exact(N)
            .map(|pixel| gray::luma(pixel[0], pixel[2], pixel[4])),
    );
}

/// Moves the gray samples of 16-bit gray and alpha pairs to the front.
fn drop_alpha(pixels: &mut [u8]) {
    for pixel in 0..pixels.len() / 4 {
        pixels.copy_within(4 * pixel..4 * pixel + 2, 2 * pixel);
    }
}

fn read_error(error: DecodingError) -> ReadError {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ReadError::Truncated("the PNG")
        }
        DecodingError::LimitsExceeded => {
            ReadError::other(Code::TooLarge, "the PNG needs more memory than the limit allows")
        }
        other => ReadError::Corrupt {
            what: "PNG",
            reason: other.to_string(),
        },
    }
}
