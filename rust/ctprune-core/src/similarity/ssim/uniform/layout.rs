//! How windows lie in memory, and the whole numbers that their sums are multiplied by.
//!
//! With `n = 49` pixels, `s` the sum of one slice and `p` that of the products, the means are `s / n` and the sample
//! covariance is `(n p − s s') / (n (n − 1))`; both fractions of SSIM are extended so that nothing but their constants is
//! rounded before the one division, and their factors of 2 are taken out.

use crate::similarity::ssim::C2;

/// Rows and columns of a window.
pub(in crate::similarity::ssim) const SIDE: usize = 7;

/// `n`, the number of pixels of a window.
pub(super) const PIXELS: f32 = (SIDE * SIDE) as f32;

/// `n²`, by which products of means are extended.
pub(super) const OF_MEANS: f32 = PIXELS * PIXELS;

/// `n (n − 1)`, by which covariances are extended.
pub(super) const OF_COVARIANCES: f32 = PIXELS * (PIXELS - 1.0);

/// Half of the second constant, extended.
pub(super) const HALF_C2: f32 = 0.5 * C2 as f32 * OF_COVARIANCES;

/// Windows side by side: sums run in so many lanes, and rows of windows are filled up to a multiple of it.
pub(super) const LANES: usize = 16;

/// The sum of 7 columns from `at` on.
#[inline(always)]
pub(super) fn across(columns: &[i32], at: usize) -> i32 {
    let mut sum = 0;
    for offset in 0..SIDE {
        sum += columns[at + offset];
    }
    sum
}
