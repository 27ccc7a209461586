//! Lanczos coefficients in Pillow's fixed point.
//!
//! Every expression follows the order of operations of Pillow's `libImaging/Resample.c`
//! (`precompute_coeffs`, `normalize_coeffs_8bpc`): another order may round another way, and one unit
//! in the last place of a coefficient can flip a bit of a fingerprint. The sine is the `libm` crate's
//! and not the platform's, so that all systems agree.

use std::f64::consts::PI;
use std::ops::Range;

/// Fractional bits of a coefficient: 32, less 8 for the pixel, less 2 for negative lobes.
pub(super) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// One half, which a sum starts from so that cutting its fraction rounds it.
pub(super) const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Lobes of the filter on each side of its center.
const SUPPORT: f64 = 3.0;

/// What one output pixel is made of: `weights[i]` times the input pixel `start + i`.
#[derive(Debug)]
pub(super) struct Window {
    /// First input pixel.
    pub start: usize,
    /// Weights in units of 2^−22.
    pub weights: Vec<i32>,
}

/// The same before it is put into fixed point: weights that add up to 1.
#[derive(Debug)]
pub(super) struct FloatWindow {
    /// First input pixel.
    pub start: usize,
    /// Weights.
    pub weights: Vec<f64>,
}

/// The windows of the output pixels `wanted` when `in_len` pixels become `out_len`; both at least 1.
pub(super) fn windows(in_len: usize, out_len: usize, wanted: Range<usize>) -> Vec<Window> {
    let fixed = |window: FloatWindow| Window {
        start: window.start,
        weights: window.weights.into_iter().map(fixed_point).collect(),
    };
    float_windows(in_len, out_len, wanted)
        .into_iter()
        .map(fixed)
        .collect()
}

/// See [`windows`].
pub(super) fn float_windows(in_len: usize, out_len: usize, wanted: Range<usize>) -> Vec<FloatWindow> {
    let scale = in_len as f64 / out_len as f64;
    let filter_scale = scale.max(1.0);
    wanted
        .map(|x| window(in_len, (x as f64 + 0.5) * scale, filter_scale))
        .collect()
}

fn window(in_len: usize, center: f64, filter_scale: f64) -> FloatWindow {
    let support = SUPPORT * filter_scale;
    let inverse_scale = 1.0 / filter_scale;
    // The casts cut toward zero and stop at zero, as Pillow's do.
    let start = (center - support + 0.5) as usize;
    let end = ((center + support + 0.5) as usize).min(in_len);
    let mut weights: Vec<f64> = (start..end)
        .map(|x| lanczos((x as f64 - center + 0.5) * inverse_scale))
        .collect();
    let total: f64 = weights.iter().fold(0.0, |sum, w| sum + w);
    if total != 0.0 {
        weights.iter_mut().for_each(|w| *w /= total);
    }
    FloatWindow { start, weights }
}

/// Rounds half away from zero.
fn fixed_point(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (half + weight * f64::from(1 << PRECISION_BITS)) as i32
}

/// Drops the fractional bits of a sum and clips it to 8 bits.
pub(super) fn to_pixel(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

fn lanczos(x: f64) -> f64 {
    if (-SUPPORT..SUPPORT).contains(&x) {
        sinc(x) * sinc(x / SUPPORT)
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    libm::sin(x) / x
}
