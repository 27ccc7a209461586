//! From stored pixels to an 8-bit slice.
//!
//! By default a slice is mapped linearly from its own smallest and largest pixel to 0..=255 and rounded
//! to the nearest integer, halves to even; a constant slice becomes 0. A fixed range of Hounsfield units
//! can be chosen instead. Pictures that are 8-bit gray already are used as they are, without a copy.

mod divider;
mod error;
pub mod extremes;
mod shares;
mod stretch;
mod window;

pub use error::GrayError;
pub use shares::{SHARES, Shares};
pub use window::Intensity;

use crate::pixels::{Scale, SlicePixels, Stored};
use ctprune_cpu::Cpu;
use extremes::{Sample, extremes};
use stretch::{Line, Narrow, WholeLine, stretch_any, stretch_whole};

/// Smallest and largest pixel of a slice in Hounsfield units, or in gray values for 8-bit pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HuRange {
    /// The smallest.
    pub min_hu: f64,
    /// The largest.
    pub max_hu: f64,
}

/// An 8-bit slice.
#[derive(Clone, Copy, Debug)]
pub struct Gray<'a> {
    /// `rows × columns` gray values, row-major.
    pub pixels: &'a [u8],
    /// The range of the slice that it was made from.
    pub range: HuRange,
}

/// Converts a slice to 8-bit gray.
///
/// The result lies in `buffer`, which is kept from slice to slice for its memory, or is the slice's own
/// pixels when they are gray already. Pixels that are not finite count as the lowest finite Hounsfield
/// unit of the slice.
///
/// ```
/// # use ctprune_core::intensity::{Intensity, to_gray};
/// # use ctprune_core::pixels::{Scale, SlicePixels, Stored};
/// let scale = Scale::Hounsfield { slope: 1.0, intercept: -1024.0 };
/// let slice = SlicePixels { rows: 1, columns: 3, stored: Stored::I16(&[24, 1024, 2024]), extremes: None, scale };
/// let mut buffer = Vec::new();
/// let gray = to_gray(&slice, Intensity::MinMax, &mut buffer).unwrap();
/// assert_eq!(gray.pixels, [0, 128, 255]);
/// assert_eq!((gray.range.min_hu, gray.range.max_hu), (-1000.0, 1000.0));
/// ```
pub fn to_gray<'a>(
    slice: &SlicePixels<'a>,
    intensity: Intensity,
    buffer: &'a mut Vec<u8>,
) -> Result<Gray<'a>, GrayError> {
    to_gray_on(Cpu::detect(), slice, intensity, buffer)
}

fn to_gray_on<'a>(
    cpu: Cpu,
    slice: &SlicePixels<'a>,
    intensity: Intensity,
    buffer: &'a mut Vec<u8>,
) -> Result<Gray<'a>, GrayError> {
    check_size(slice)?;
    let rescale = match (slice.scale, slice.stored) {
        (Scale::Gray8, Stored::U8(pixels)) => return gray_as_it_is(cpu, pixels),
        (Scale::Gray8, _) => return Err(GrayError::NotEightBit),
        (Scale::Hounsfield { slope, intercept }, _) => Rescale::new(slope, intercept)?,
    };
    buffer.resize(slice.stored.len(), 0);
    let range = match slice.stored {
        Stored::U8(values) => narrow(cpu, values, slice.extremes, rescale, intensity, buffer),
        Stored::I8(values) => narrow(cpu, values, slice.extremes, rescale, intensity, buffer),
        Stored::U16(values) => narrow(cpu, values, slice.extremes, rescale, intensity, buffer),
        Stored::I16(values) => narrow(cpu, values, slice.extremes, rescale, intensity, buffer),
        Stored::U32(values) => wide(cpu, values, slice.extremes, rescale, intensity, buffer),
        Stored::I32(values) => wide(cpu, values, slice.extremes, rescale, intensity, buffer),
        Stored::F32(values) => wide(cpu, values, slice.extremes, rescale, intensity, buffer),
        Stored::F64(values) => wide(cpu, values, slice.extremes, rescale, intensity, buffer),
    }?;
    Ok(Gray {
        pixels: buffer,
        range,
    })
}

fn check_size(slice: &SlicePixels<'_>) -> Result<(), GrayError> {
    let (rows, columns, found) = (slice.rows, slice.columns, slice.stored.len());
    if found == 0 || rows.checked_mul(columns) != Some(found) {
        return Err(GrayError::PixelCount { rows, columns, found });
    }
    Ok(())
}

fn gray_as_it_is(cpu: Cpu, pixels: &[u8]) -> Result<Gray<'_>, GrayError> {
    let (min, max) = extremes(cpu, pixels).ok_or(GrayError::NoFinitePixel)?;
    Ok(Gray {
        pixels,
        range: HuRange {
            min_hu: min.into(),
            max_hu: max.into(),
        },
    })
}

/// `HU = stored × slope + intercept`, checked.
#[derive(Clone, Copy, Debug)]
struct Rescale {
    slope: f64,
    intercept: f64,
}

impl Rescale {
    fn new(slope: f64, intercept: f64) -> Result<Self, GrayError> {
        if slope == 0.0 || !slope.is_finite() || !intercept.is_finite() {
            return Err(GrayError::Rescale { slope, intercept });
        }
        Ok(Self { slope, intercept })
    }

    fn hu<T: Sample>(self, stored: T) -> f64 {
        stored.to_f64() * self.slope + self.intercept
    }

    /// A pair of stored values, the one with the lower Hounsfield unit first.
    fn ordered<T>(self, (min, max): (T, T)) -> (T, T) {
        if self.slope > 0.0 { (min, max) } else { (max, min) }
    }

    /// The stored values of a range of Hounsfield units, if all numbers involved are whole: the slope
    /// ±1, the width narrow enough.
    fn whole_line(self, low_hu: f64, high_hu: f64) -> Option<WholeLine> {
        let whole = |v: f64| v.fract() == 0.0 && v.abs() < f64::from(i32::MAX);
        let all_whole = self.slope.abs() == 1.0 && [self.intercept, low_hu, high_hu].into_iter().all(whole);
        let stored = |hu: f64| ((hu - self.intercept) * self.slope) as i64;
        let (low, high) = self.ordered((low_hu, high_hu));
        let line = all_whole.then(|| WholeLine {
            low: stored(low),
            high: stored(high),
            reversed: self.slope < 0.0,
        })?;
        line.is_narrow().then_some(line)
    }
}

/// Smallest and largest finite value, as known or looked for.
fn found<T: Sample>(cpu: Cpu, values: &[T], known: Option<(f64, f64)>) -> Result<(T, T), GrayError> {
    match known {
        Some((min, max)) => Ok((T::from_f64(min), T::from_f64(max))),
        None => extremes(cpu, values).ok_or(GrayError::NoFinitePixel),
    }
}

/// Types of up to 16 bits: in integers where the numbers allow it.
fn narrow<T: Narrow>(
    cpu: Cpu,
    values: &[T],
    known: Option<(f64, f64)>,
    rescale: Rescale,
    intensity: Intensity,
    out: &mut [u8],
) -> Result<HuRange, GrayError> {
    let found = found(cpu, values, known)?;
    let line = match intensity {
        Intensity::MinMax => {
            let (low, high) = (found.0.to_f64() as i64, found.1.to_f64() as i64);
            let line = WholeLine {
                low,
                high,
                reversed: rescale.slope < 0.0,
            };
            line.is_narrow().then_some(line)
        }
        Intensity::Range { low_hu, high_hu } => rescale.whole_line(low_hu, high_hu),
    };
    match line {
        Some(line) => stretch_whole(cpu, values, found, line, out),
        None => stretch_by_formula(cpu, values, found, rescale, intensity, out),
    }
    Ok(hu_range(rescale, found))
}

/// All other types.
fn wide<T: Sample>(
    cpu: Cpu,
    values: &[T],
    known: Option<(f64, f64)>,
    rescale: Rescale,
    intensity: Intensity,
    out: &mut [u8],
) -> Result<HuRange, GrayError> {
    let found = found(cpu, values, known)?;
    stretch_by_formula(cpu, values, found, rescale, intensity, out);
    Ok(hu_range(rescale, found))
}

fn stretch_by_formula<T: Sample>(
    cpu: Cpu,
    values: &[T],
    found: (T, T),
    rescale: Rescale,
    intensity: Intensity,
    out: &mut [u8],
) {
    let Rescale { slope, intercept } = rescale;
    let (stand_in, _) = rescale.ordered(found);
    let line = match intensity {
        Intensity::Range { low_hu, high_hu } => Line {
            slope,
            intercept,
            low: low_hu,
            width: high_hu - low_hu,
            stand_in,
        },
        // In stored values, which a rescale cannot have rounded; only its direction counts.
        Intensity::MinMax => {
            let (min, max) = (found.0.to_f64(), found.1.to_f64());
            let direction = slope.signum();
            Line {
                slope: direction,
                intercept: 0.0,
                low: stand_in.to_f64() * direction,
                width: max - min,
                stand_in,
            }
        }
    };
    if line.width > 0.0 {
        stretch_any(cpu, values, line, out)
    } else {
        out.fill(0)
    }
}

fn hu_range<T: Sample>(rescale: Rescale, found: (T, T)) -> HuRange {
    let (low, high) = rescale.ordered(found);
    HuRange {
        min_hu: rescale.hu(low),
        max_hu: rescale.hu(high),
    }
}

#[cfg(test)]
mod tests;
