//! Decompressed TIFF samples to 8-bit gray or to values as stored.

use tiff::ColorType;

use super::layout::Layout;
use crate::error::ReadError;
use crate::image::{Content, gray};
use crate::samples::SampleType;

/// Unsigned samples of up to 8 bits and all colors become 8-bit gray; other gray keeps its values.
pub(super) fn to_content(
    layout: &Layout,
    pixels: &mut [u8],
    gray: &mut Vec<u8>,
) -> Result<Content, ReadError> {
    match (layout.color, layout.sample) {
        (ColorType::Gray(bits @ (1 | 2 | 4)), SampleType::U8) => {
            gray::from_packed(pixels, bits, layout.columns, &gray::ramp(bits), gray);
        }
        (ColorType::Gray(_) | ColorType::Multiband { num_samples: 2, .. }, sample) => {
            return gray_samples(layout, sample, pixels, gray);
        }
        (ColorType::RGB(8) | ColorType::RGBA(8), SampleType::U8) => {
            colors(layout, gray, |pixel, sample| pixels[layout.at(pixel, sample)]);
        }
        (ColorType::RGB(16) | ColorType::RGBA(16), SampleType::U16) => {
            colors(layout, gray, |pixel, sample| {
                high_byte(pixels, layout.at(pixel, sample))
            });
        }
        (ColorType::CMYK(8), SampleType::U8) => inks(layout, pixels, gray),
        (color, _) => return Err(ReadError::Unsupported(format!("TIFF of {color:?}").into())),
    }
    Ok(Content::Gray)
}

/// Gray, with or without alpha, which is dropped.
fn gray_samples(
    layout: &Layout,
    sample: SampleType,
    pixels: &mut [u8],
    gray: &mut Vec<u8>,
) -> Result<Content, ReadError> {
    let size = sample.size();
    if layout.samples > 1 {
        for pixel in layout.pixels() {
            let start = layout.at(pixel, 0) * size;
            pixels.copy_within(start..start + size, pixel * size);
        }
    }
    let pixels = &mut pixels[..layout.pixels().len() * size];
    if sample == SampleType::U8 {
        gray::from_gray(pixels, gray);
        return Ok(Content::Gray);
    }
    if layout.white_is_zero {
        restore_inverted(sample, pixels)?;
    }
    Ok(Content::Samples(sample))
}

/// The decoder inverts white-is-zero values; Pillow does that to 8 bits only.
fn restore_inverted(sample: SampleType, pixels: &mut [u8]) -> Result<(), ReadError> {
    if !matches!(sample, SampleType::U16 | SampleType::U32) {
        // 1 − (1 − x) is not x for every floating-point x.
        return Err(ReadError::Unsupported(
            format!("TIFF of white-is-zero {sample:?} values").into(),
        ));
    }
    pixels.iter_mut().for_each(|byte| *byte = !*byte);
    Ok(())
}

/// Luma of each pixel, whose 8-bit samples `value_at(pixel, sample)` gives.
fn colors(layout: &Layout, gray: &mut Vec<u8>, value_at: impl Fn(usize, usize) -> u8) {
    let premultiplied = layout.premultiplied && matches!(layout.color, ColorType::RGBA(_));
    gray.clear();
    gray.extend(layout.pixels().map(|pixel| {
        let alpha = if premultiplied { value_at(pixel, 3) } else { 255 };
        let [red, green, blue] = [0, 1, 2].map(|sample| divide(value_at(pixel, sample), alpha));
        gray::luma(red, green, blue)
    }));
}

/// Undoes the multiplication by alpha as Pillow does it.
fn divide(value: u8, alpha: u8) -> u8 {
    match alpha {
        0 => 0,
        alpha => (255 * u32::from(value) / u32::from(alpha)).min(255) as u8,
    }
}

fn inks(layout: &Layout, pixels: &[u8], gray: &mut Vec<u8>) {
    gray.clear();
    gray.extend(
        layout
            .pixels()
            .map(|pixel| gray::luma_of_inks([0, 1, 2, 3].map(|sample| pixels[layout.at(pixel, sample)]))),
    );
}

/// Pillow reads colors of 16 bits by their high byte.
fn high_byte(pixels: &[u8], index: usize) -> u8 {
    (u16::from_ne_bytes([pixels[2 * index], pixels[2 * index + 1]]) >> 8) as u8
}
