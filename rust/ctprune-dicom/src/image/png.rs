//! PNG of every colour type and depth.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Limits};

use super::{Content, Decoded, Picture, grey};
use crate::samples::{SampleType, failed, make_native, slice_bytes};
use crate::slice::{ReadOptions, Refusal};

pub(super) fn decode(bytes: &[u8], options: &ReadOptions, decoded: &mut Decoded) -> Result<Picture, Refusal> {
    let limits = Limits {
        bytes: usize::try_from(options.max_slice_bytes).unwrap_or(usize::MAX),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(refusal)?;
    let (rows, columns) = (header.height, header.width);
    slice_bytes(
        rows.into(),
        columns.into(),
        header.bytes_per_pixel() as u64,
        options,
    )?;
    let mut reader = decoder.read_info().map_err(refusal)?;
    let length = reader
        .output_buffer_size()
        .ok_or_else(|| failed("the PNG is larger than the address space"))?;
    let pixels = decoded.samples.bytes_mut(length);
    if reader.info().interlaced {
        // The decoder merges the passes of small samples bit by bit, so the bits must start as 0.
        pixels.fill(0);
    }
    reader.next_frame(pixels).map_err(refusal)?;
    let content = to_content(reader.info(), pixels, &mut decoded.grey)?;
    Ok(Picture {
        rows: rows as usize,
        columns: columns as usize,
        content,
    })
}

/// Grey of 16 bits keeps its values (alpha is dropped); everything else becomes 8-bit grey.
fn to_content(info: &Info<'_>, pixels: &mut [u8], grey: &mut Vec<u8>) -> Result<Content, Refusal> {
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
        (ColorType::Grayscale, BitDepth::Eight) => grey::from_grey(pixels, grey),
        (ColorType::Grayscale, _) => grey::from_packed(pixels, bits, columns, &grey::ramp(bits), grey),
        (ColorType::GrayscaleAlpha, _) => {
            grey.clear();
            grey.extend(pixels.iter().step_by(2));
        }
        (ColorType::Indexed, _) => {
            let palette = info
                .palette
                .as_ref()
                .ok_or_else(|| failed("the PNG has indices without a palette"))?;
            grey::from_packed(pixels, bits, columns, &grey::palette_ramp(palette), grey);
        }
        (ColorType::Rgb, BitDepth::Sixteen) => from_deep_colours::<6>(pixels, grey),
        (ColorType::Rgba, BitDepth::Sixteen) => from_deep_colours::<8>(pixels, grey),
        (ColorType::Rgb, _) => grey::from_colours::<3>(pixels, grey),
        (ColorType::Rgba, _) => grey::from_colours::<4>(pixels, grey),
    }
    Ok(Content::Grey)
}

/// Pillow reads colours of 16 bits by their high byte, which comes first. `N` is bytes a pixel.
fn from_deep_colours<const N: usize>(pixels: &[u8], grey: &mut Vec<u8>) {
    grey.clear();
    grey.extend(
        pixels
            .chunks_exact(N)
            .map(|pixel| grey::luma(pixel[0], pixel[2], pixel[4])),
    );
}

/// Moves the grey samples of 16-bit grey and alpha pairs to the front.
fn drop_alpha(pixels: &mut [u8]) {
    for pixel in 0..pixels.len() / 4 {
        pixels.copy_within(4 * pixel..4 * pixel + 2, 2 * pixel);
    }
}

fn refusal(error: DecodingError) -> Refusal {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            failed("the PNG is truncated: its data end before its last pixel")
        }
        DecodingError::LimitsExceeded => failed("the PNG needs more memory than the limit allows"),
        other => failed(format!("the PNG is corrupt: {other}")),
    }
}
