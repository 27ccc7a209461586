//! A slice resized to a square of a fixed side: the shorter side is resampled to it, the longer one cropped in the middle.
//!
//! Sizes are those of torchvision's `Resize(side)` and `CenterCrop(side)`; the filter is Pillow's Lanczos, which
//! averages over all pixels where it makes a picture smaller.

use crate::intensity::{GrayError, Intensity, to_gray};
use crate::pixels::{Scale, SlicePixels, Stored};
use crate::resample::{Axis, FloatPlan, PassOrder, Plan, Scratch};

/// Added to Hounsfield units in 16 bits, so that every CT value is at least 0.
pub const HU_OFFSET: f64 = 32768.0;

/// What an 8-bit gray value is multiplied by to span 16 bits.
const GRAY_TO_16: f32 = 257.0;

/// Resizes slices to one side; keeps its memory from slice to slice.
#[derive(Debug)]
pub struct Resizer {
    side: usize,
    gray_plan: Option<(Shape, Plan)>,
    hu_plan: Option<(Shape, FloatPlan)>,
    scratch: Scratch,
    buffer: Vec<u8>,
    hu: Vec<f32>,
    between: Vec<f32>,
    resized: Vec<f32>,
}

type Shape = (usize, usize);

impl Resizer {
    /// For slices of `side × side` pixels, at least 1.
    pub fn new(side: usize) -> Self {
        Self {
            side,
            gray_plan: None,
            hu_plan: None,
            scratch: Scratch::default(),
            buffer: Vec::new(),
            hu: Vec::new(),
            between: Vec::new(),
            resized: vec![0.0; side * side],
        }
    }

    /// Rows and columns of a resized slice.
    pub fn side(&self) -> usize {
        self.side
    }

    /// 8-bit gray as it is fingerprinted, then resampled in 8 bits; `out` holds `side²` pixels.
    pub fn resize_gray(
        &mut self,
        pixels: &SlicePixels<'_>,
        intensity: Intensity,
        out: &mut [u8],
    ) -> Result<(), GrayError> {
        let gray = to_gray(pixels, intensity, &mut self.buffer)?;
        let shape = (pixels.rows, pixels.columns);
        let plan = prepared(&mut self.gray_plan, shape, self.side, |axes| {
            Plan::cropped(axes, PassOrder::ByShape)
        });
        plan.run(gray.pixels, &mut self.scratch, out);
        Ok(())
    }

    /// Hounsfield units + [`HU_OFFSET`], resampled, rounded to the nearest integer and clipped to 16 bits; `out` holds
    /// `side²` pixels. Gray values of 8-bit pictures are multiplied by 257 instead.
    pub fn resize_hu(&mut self, pixels: &SlicePixels<'_>, out: &mut [u16]) -> Result<(), GrayError> {
        let offset = match pixels.scale {
            Scale::Gray8 => 0.0,
            Scale::Hounsfield { .. } => HU_OFFSET as f32,
        };
        values(pixels, &mut self.hu)?;
        let shape = (pixels.rows, pixels.columns);
        let plan = prepared(&mut self.hu_plan, shape, self.side, FloatPlan::cropped);
        plan.run(&self.hu, &mut self.between, &mut self.resized);
        for (out, &value) in out.iter_mut().zip(&self.resized) {
            // The cast clips to 0..=65535.
            *out = (value + offset).round_ties_even() as u16;
        }
        Ok(())
    }
}

/// The plan for slices of this shape: the last one again, since slices of a volume are alike.
fn prepared<T>(
    kept: &mut Option<(Shape, T)>,
    shape: Shape,
    side: usize,
    make: impl FnOnce([Axis; 2]) -> T,
) -> &T {
    if kept.as_ref().is_none_or(|(last, _)| *last != shape) {
        *kept = None;
    }
    &kept.get_or_insert_with(|| (shape, make(axes(shape, side)))).1
}

/// What happens to rows and columns.
fn axes((rows, columns): Shape, side: usize) -> [Axis; 2] {
    let shorter = rows.min(columns);
    [rows, columns].map(|length| {
        let out_length = (side as u128 * length as u128 / shorter as u128) as usize;
        // Half of the rest, halves to even.
        let rest = out_length - side;
        let start = (rest as f64 / 2.0).round_ties_even() as usize;
        Axis {
            length,
            out_length,
            wanted: start..start + side,
        }
    })
}

/// Hounsfield units, or gray values spread to 16 bits; what is not finite counts as the lowest finite value.
fn values(pixels: &SlicePixels<'_>, out: &mut Vec<f32>) -> Result<(), GrayError> {
    let (rows, columns, found) = (pixels.rows, pixels.columns, pixels.stored.len());
    if found == 0 || rows.checked_mul(columns) != Some(found) {
        return Err(GrayError::PixelCount { rows, columns, found });
    }
    out.clear();
    macro_rules! each {
        ($values:expr) => {
            match pixels.scale {
                Scale::Gray8 => out.extend($values.iter().map(|&v| v as f32 * GRAY_TO_16)),
                Scale::Hounsfield { slope, intercept } => out.extend(
                    $values
                        .iter()
                        .map(|&v| (v as f64 * slope + intercept) as f32),
                ),
            }
        };
    }
    match pixels.stored {
        Stored::U8(values) => each!(values),
        Stored::I8(values) => each!(values),
        Stored::U16(values) => each!(values),
        Stored::I16(values) => each!(values),
        Stored::U32(values) => each!(values),
        Stored::I32(values) => each!(values),
        Stored::F32(values) => each!(values),
        Stored::F64(values) => each!(values),
    }
    let finite = out.iter().copied().filter(|value| value.is_finite());
    let lowest = finite.fold(f32::INFINITY, f32::min);
    if lowest == f32::INFINITY {
        return Err(GrayError::NoFinitePixel);
    }
    for value in out.iter_mut().filter(|value| !value.is_finite()) {
        *value = lowest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ct(rows: usize, columns: usize, stored: &[i16]) -> SlicePixels<'_> {
        let scale = Scale::Hounsfield {
            slope: 2.0,
            intercept: -1000.0,
        };
        SlicePixels {
            extremes: None,
            rows,
            columns,
            stored: Stored::I16(stored),
            scale,
        }
    }

    #[test]
    fn sizes_are_those_of_torchvision() {
        let found = axes((300, 512), 256).map(|axis| (axis.out_length, axis.wanted));
        assert_eq!(found, [(256, 0..256), (436, 90..346)]);
        // Rest 1: half of it is rounded to even.
        assert_eq!(axes((4, 5), 4)[1].wanted, 0..4);
    }

    #[test]
    fn a_square_of_the_same_side_is_unchanged() {
        let stored: Vec<i16> = (0..16).map(|i| i * 100).collect();
        let mut resizer = Resizer::new(4);
        let mut hu = [0; 16];
        resizer.resize_hu(&ct(4, 4, &stored), &mut hu).unwrap();
        let hu = hu.map(|value| i32::from(value) - 32768);
        assert_eq!(hu.to_vec(), (0..16).map(|i| i * 200 - 1000).collect::<Vec<_>>());
        let mut gray = [0; 16];
        resizer
            .resize_gray(&ct(4, 4, &stored), Intensity::MinMax, &mut gray)
            .unwrap();
        assert_eq!(gray.to_vec(), (0..16).map(|i| i * 17).collect::<Vec<u8>>());
    }

    #[test]
    fn a_slice_of_one_pixel_by_a_million_needs_no_more_memory_than_itself() {
        let stored = vec![7i16; 1 << 20];
        let mut out = vec![0; 64 * 64];
        Resizer::new(64)
            .resize_hu(&ct(1, 1 << 20, &stored), &mut out)
            .unwrap();
        assert!(out.iter().all(|&value| value == 32768 - 986));
    }

    #[test]
    fn pixels_that_are_not_finite_count_as_the_lowest() {
        let stored = [f32::NAN, 5.0, -7.0, f32::INFINITY];
        let scale = Scale::Hounsfield {
            slope: 1.0,
            intercept: 0.0,
        };
        let mut slice = SlicePixels {
            extremes: None,
            rows: 2,
            columns: 2,
            stored: Stored::F32(&stored),
            scale,
        };
        let mut out = [0; 4];
        Resizer::new(2).resize_hu(&slice, &mut out).unwrap();
        assert_eq!(out.map(|value| i32::from(value) - 32768), [-7, 5, -7, -7]);
        slice.stored = Stored::F32(&[f32::NAN; 4]);
        assert_eq!(
            Resizer::new(2).resize_hu(&slice, &mut out),
            Err(GrayError::NoFinitePixel)
        );
    }
}
