//! Decompressed TIFF samples to 8-bit grey or to values as stored.

use tiff::ColorType;

use super::tiff::Layout;
use super::{Content, grey};
use crate::samples::{SampleType, failed};
use crate::slice::Refusal;

/// Unsigned samples of up to 8 bits and all colours become 8-bit grey; other grey keeps its values.
pub(super) fn to_content(layout: &Layout, pixels: &mut [u8], grey: &mut Vec<u8>) -> Result<Content, Refusal> {
    match (layout.colour, layout.sample) {
        (ColorType::Gray(bits @ (1 | 2 | 4)), SampleType::U8) => {
            grey::from_packed(pixels, bits, layout.columns, &grey::ramp(bits), grey);
        }
        (ColorType::Gray(_) | ColorType::Multiband { num_samples: 2, .. }, sample) => {
            return grey_samples(layout, sample, pixels, grey);
        }
        (ColorType::RGB(8) | ColorType::RGBA(8), SampleType::U8) => {
            colours(layout, grey, |pixel, sample| pixels[layout.at(pixel, sample)]);
        }
        (ColorType::RGB(16) | ColorType::RGBA(16), SampleType::U16) => {
            colours(layout, grey, |pixel, sample| {
                high_byte(pixels, layout.at(pixel, sample))
            });
        }
        (ColorType::CMYK(8), SampleType::U8) => inks(layout, pixels, grey),
        (colour, _) => return Err(failed(format!("TIFF of an unsupported kind: {colour:?}"))),
    }
    Ok(Content::Grey)
}

impl Layout {
    /// Index of a sample of a pixel.
    fn at(&self, pixel: usize, sample: usize) -> usize {
        pixel * self.samples + sample
    }

    fn pixels(&self) -> std::ops::Range<usize> {
        0..self.rows * self.columns
    }
}

/// Grey, with or without alpha, which is dropped.
fn grey_samples(
    layout: &Layout,
    sample: SampleType,
    pixels: &mut [u8],
    grey: &mut Vec<u8>,
) -> Result<Content, Refusal> {
    let size = sample.size();
    if layout.samples > 1 {
        for pixel in layout.pixels() {
            let start = layout.at(pixel, 0) * size;
            pixels.copy_within(start..start + size, pixel * size);
        }
    }
    let pixels = &mut pixels[..layout.pixels().len() * size];
    if sample == SampleType::U8 {
        grey::from_grey(pixels, grey);
        return Ok(Content::Grey);
    }
    if layout.white_is_zero {
        restore_inverted(sample, pixels)?;
    }
    Ok(Content::Samples(sample))
}

/// The decoder inverts white-is-zero values; Pillow does that to 8 bits only.
fn restore_inverted(sample: SampleType, pixels: &mut [u8]) -> Result<(), Refusal> {
    if !matches!(sample, SampleType::U16 | SampleType::U32) {
        // 1 − (1 − x) is not x for every floating-point x.
        return Err(failed(format!(
            "TIFF of white-is-zero {sample:?} values is not supported"
        )));
    }
    pixels.iter_mut().for_each(|byte| *byte = !*byte);
    Ok(())
}

/// Luma of each pixel, whose 8-bit samples `value_at(pixel, sample)` gives.
fn colours(layout: &Layout, grey: &mut Vec<u8>, value_at: impl Fn(usize, usize) -> u8) {
    let premultiplied = layout.premultiplied && matches!(layout.colour, ColorType::RGBA(_));
    grey.clear();
    grey.extend(layout.pixels().map(|pixel| {
        let alpha = if premultiplied { value_at(pixel, 3) } else { 255 };
        let [red, green, blue] = [0, 1, 2].map(|sample| divide(value_at(pixel, sample), alpha));
        grey::luma(red, green, blue)
    }));
}

/// Undoes the multiplication by alpha as Pillow does it.
fn divide(value: u8, alpha: u8) -> u8 {
    match alpha {
        0 => 0,
        alpha => (255 * u32::from(value) / u32::from(alpha)).min(255) as u8,
    }
}

fn inks(layout: &Layout, pixels: &[u8], grey: &mut Vec<u8>) {
    grey.clear();
    grey.extend(
        layout
            .pixels()
            .map(|pixel| grey::luma_of_inks([0, 1, 2, 3].map(|sample| pixels[layout.at(pixel, sample)]))),
    );
}

/// Pillow reads colours of 16 bits by their high byte.
fn high_byte(pixels: &[u8], index: usize) -> u8 {
    (u16::from_ne_bytes([pixels[2 * index], pixels[2 * index + 1]]) >> 8) as u8
}
