//! Linear maps of stored values to 0..=255, rounded to the nearest integer, halves to even.
//!
//! Two versions give the same pixels: [`stretch_any`] is the formula, in `f64`, for every type;
//! [`stretch_whole`] computes it in 16-bit integers for whole numbers in a range below 2^15, which is
//! what nearly every CT slice is. For those the `f64` quotient is correctly rounded and a quotient that
//! is not a half is at least 1/(2 × width) away from one, so the formula has no rounding error to copy.

use super::extremes::Sample;
use crate::cpu::{Cpu, by_cpu};

/// `grey = (stored × slope + intercept − low) × 255 / width`, clipped and rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<T> {
    pub slope: f64,
    pub intercept: f64,
    pub low: f64,
    pub width: f64,
    /// Taken in place of a value that is not finite.
    pub stand_in: T,
}

by_cpu! {
    /// Maps all `values`, by the formula as it stands.
    pub(super) fn stretch_any[T: Sample](values: &[T], line: Line<T>, out: &mut [u8]) {
        for (grey, &value) in out.iter_mut().zip(values) {
            let value = if value.is_finite() { value } else { line.stand_in };
            let above = value.to_f64() * line.slope + line.intercept - line.low;
            *grey = (above * 255.0 / line.width).clamp(0.0, 255.0).round_ties_even() as u8;
        }
    }
}

/// A stored type of at most 16 bits.
pub(super) trait Narrow: Sample + Ord {
    /// The nearest value that the type can hold.
    fn saturated(value: i64) -> Self;

    /// The value's low 16 bits, in two's complement.
    fn low_bits(self) -> u16;
}

macro_rules! narrow {
    ($($ty:ident),*) => {$(
        impl Narrow for $ty {
            fn saturated(value: i64) -> Self {
                value.clamp($ty::MIN.into(), $ty::MAX.into()) as $ty
            }
            #[inline(always)]
            fn low_bits(self) -> u16 {
                self as u16
            }
        }
    )*};
}
narrow!(u8, i8, u16, i16);

/// The largest range that [`stretch_whole`] maps.
pub(super) const MAX_WIDTH: i64 = 0x7FFF;

/// Below this, `255 / width` has no 16-bit fraction, so distances are multiplied first.
const MIN_WIDTH: u16 = 256;

/// The map of the stored values `low..=high` to 0..=255, or to 255..=0 when reversed.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeLine {
    pub low: i64,
    pub high: i64,
    pub reversed: bool,
}

/// Division of `distance × 255` by `width`, for distances up to `width` (256..=32767).
#[derive(Clone, Copy, Debug)]
struct Divider {
    width: u16,
    half: u16,
    /// 1 where the width is even, so that there are halves.
    even: u16,
    /// `255 × 2^16 / width`, cut.
    reciprocal: u16,
}

impl Divider {
    fn new(width: u16) -> Self {
        let reciprocal = ((255 << 16) / u32::from(width)) as u16;
        Self {
            width,
            half: width / 2,
            even: u16::from(width.is_multiple_of(2)),
            reciprocal,
        }
    }

    /// The reciprocal is cut by less than 1, so `quotient` is below the true quotient by less than
    /// `distance / 2^16 + 1 ≤ 1.5` and never above: it is the answer or one less. The remainder is
    /// below `1.5 × width` and so fits. An odd quotient takes the half up: that makes it even.
    #[inline(always)]
    fn grey(self, distance: u16) -> u8 {
        let quotient = ((u32::from(distance) * u32::from(self.reciprocal)) >> 16) as u16;
        let remainder = distance
            .wrapping_mul(255)
            .wrapping_sub(quotient.wrapping_mul(self.width));
        let more_than = self.half - (quotient & self.even);
        (quotient + u16::from(remainder > more_than)).min(255) as u8
    }
}

/// Maps all `values`, whose smallest and largest are `extremes`.
///
/// `line.high − line.low` must be 1..=[`MAX_WIDTH`].
pub(super) fn stretch_whole<T: Narrow>(
    cpu: Cpu,
    values: &[T],
    extremes: (T, T),
    line: WholeLine,
    out: &mut [u8],
) {
    let (min, max) = (extremes.0.to_f64() as i64, extremes.1.to_f64() as i64);
    if max < line.low || min > line.high {
        out.fill(if (min > line.high) != line.reversed {
            255
        } else {
            0
        });
        return;
    }
    let width = (line.high - line.low) as u16;
    if min >= line.low && max <= line.high && width >= MIN_WIDTH && !line.reversed {
        return stretch_inside(cpu, values, line.low as u16, Divider::new(width), out);
    }
    let factor = MIN_WIDTH.div_ceil(width);
    let clip = Clip {
        low: T::saturated(line.low),
        high: T::saturated(line.high),
        origin: line.low as u16,
        // In two's complement `width − d = !d + (width + 1)`.
        flip: if line.reversed { u16::MAX } else { 0 },
        shift: if line.reversed { width + 1 } else { 0 },
        factor,
    };
    stretch_clipped(cpu, values, clip, Divider::new(width * factor), out);
}

/// How a stored value becomes the distance that is divided.
#[derive(Clone, Copy, Debug)]
struct Clip<T> {
    low: T,
    high: T,
    origin: u16,
    flip: u16,
    shift: u16,
    factor: u16,
}

by_cpu! {
    /// Values that all lie within the range: what min–max does with a CT slice.
    fn stretch_inside[T: Narrow](values: &[T], origin: u16, divider: Divider, out: &mut [u8]) {
        for (grey, value) in out.iter_mut().zip(values) {
            *grey = divider.grey(value.low_bits().wrapping_sub(origin));
        }
    }
}

by_cpu! {
    /// Any values, any direction, any width.
    fn stretch_clipped[T: Narrow](values: &[T], clip: Clip<T>, divider: Divider, out: &mut [u8]) {
        for (grey, &value) in out.iter_mut().zip(values) {
            let above = value.max(clip.low).min(clip.high).low_bits().wrapping_sub(clip.origin);
            let distance = (above ^ clip.flip).wrapping_add(clip.shift);
            *grey = divider.grey(distance.wrapping_mul(clip.factor));
        }
    }
}
