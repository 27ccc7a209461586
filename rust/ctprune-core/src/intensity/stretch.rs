//! Linear maps of stored values to 0..=255, rounded to the nearest integer, halves to even.
//!
//! Two versions give the same pixels: [`stretch_any`] is the formula, in `f64`, for every type;
//! [`stretch_whole`] computes it in 16-bit integers for whole numbers in a range up to 2^14, which is
//! what nearly every CT slice is. For those the `f64` quotient is correctly rounded and a quotient that
//! is not a half is at least 1/(2 × width) away from one, so the formula has no rounding error to copy.

use super::divider::{CHUNK, Divide, Divider};
use super::extremes::Sample;
use ctprune_cpu::{Cpu, by_cpu};

/// `gray = (stored × slope + intercept − low) × 255 / width`, clipped and rounded.
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
        for (gray, &value) in out.iter_mut().zip(values) {
            let value = if value.is_finite() { value } else { line.stand_in };
            let above = value.to_f64() * line.slope + line.intercept - line.low;
            *gray = round_to_byte((above * 255.0 / line.width).clamp(0.0, 255.0));
        }
    }
}

/// Nearest integer of a number from 0 to 255, halves to even.
///
/// Next to 1.5 × 2^52 numbers are 1 apart, so the addition rounds, and the integer is in the low bits.
/// Unlike a conversion, compilers turn this into vector instructions.
#[inline(always)]
fn round_to_byte(value: f64) -> u8 {
    const ROUNDER: f64 = 1.5 * (1u64 << 52) as f64;
    (value + ROUNDER).to_bits() as u8
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

/// The map of the stored values `low..=high` to 0..=255, or to 255..=0 when reversed.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeLine {
    pub low: i64,
    pub high: i64,
    pub reversed: bool,
}

impl WholeLine {
    /// Whether [`stretch_whole`] can take it.
    pub fn is_narrow(self) -> bool {
        (1..=i64::from(Divider::MAX_WIDTH)).contains(&(self.high - self.low))
    }
}

/// Maps all `values`, whose smallest and largest are `extremes`; the line must be narrow.
pub(super) fn stretch_whole<T: Narrow>(
    cpu: Cpu,
    values: &[T],
    extremes: (T, T),
    line: WholeLine,
    out: &mut [u8],
) {
    let (min, max) = (extremes.0.to_f64() as i64, extremes.1.to_f64() as i64);
    if max < line.low || min > line.high {
        let is_white = (min > line.high) != line.reversed;
        return out.fill(if is_white { 255 } else { 0 });
    }
    let width = (line.high - line.low) as u16;
    if min >= line.low && max <= line.high && width >= Divider::MIN_WIDTH && !line.reversed {
        return stretch_inside(cpu, values, line.low as u16, Divider::new(width), out);
    }
    let factor = Divider::MIN_WIDTH.div_ceil(width);
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

/// Values that all lie within the range: what min–max does with a CT slice.
fn stretch_inside<T: Narrow>(cpu: Cpu, values: &[T], origin: u16, divider: Divider, out: &mut [u8]) {
    let distance = |value: T| value.low_bits().wrapping_sub(origin);
    divide_all(cpu, values, distance, divider, out);
}

/// Any values, any direction, any width.
fn stretch_clipped<T: Narrow>(cpu: Cpu, values: &[T], clip: Clip<T>, divider: Divider, out: &mut [u8]) {
    let distance = |value: T| {
        let above = value
            .max(clip.low)
            .min(clip.high)
            .low_bits()
            .wrapping_sub(clip.origin);
        (above ^ clip.flip)
            .wrapping_add(clip.shift)
            .wrapping_mul(clip.factor)
    };
    divide_all(cpu, values, distance, divider, out);
}

fn divide_all<T: Copy>(
    cpu: Cpu,
    values: &[T],
    distance: impl Fn(T) -> u16,
    divider: Divider,
    out: &mut [u8],
) {
    match cpu {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: these values exist only where AVX2 was detected.
        Cpu::Avx2 | Cpu::Avx512 => unsafe { divide_by_avx2(values, distance, divider, out) },
        _ => divide_by(values, distance, divider, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn divide_by_avx2<T: Copy>(values: &[T], distance: impl Fn(T) -> u16, divider: Divider, out: &mut [u8]) {
    use super::divider::avx2::Avx2Divider;
    divide_by(values, distance, Avx2Divider::new(divider), out);
}

/// Always inlined, so that it is compiled for the division's instructions.
#[inline(always)]
fn divide_by<T: Copy>(values: &[T], distance: impl Fn(T) -> u16, divider: impl Divide, out: &mut [u8]) {
    let divide = |values: &[T]| {
        let mut distances = [0; CHUNK];
        for (to, &value) in distances.iter_mut().zip(values) {
            *to = distance(value);
        }
        divider.grays(&distances)
    };
    let (chunks, grays) = (values.chunks_exact(CHUNK), out.chunks_exact_mut(CHUNK));
    let rest = chunks.remainder();
    for (values, grays) in chunks.zip(grays) {
        grays.copy_from_slice(&divide(values));
    }
    out[values.len() - rest.len()..].copy_from_slice(&divide(rest)[..rest.len()]);
}
