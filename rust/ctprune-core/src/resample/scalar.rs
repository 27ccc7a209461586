//! One pass of the resampling, written for the reader: what every other version must equal.

use super::lanczos::{HALF, Window, to_pixel};

/// Resamples each of `rows` rows and writes the result transposed, `windows.len() × rows`.
pub(super) fn pass(windows: &[Window], input: &[u8], rows: usize, output: &mut [u8]) {
    for (row, pixels) in input.chunks_exact(input.len() / rows).enumerate() {
        for (x, window) in windows.iter().enumerate() {
            output[x * rows + row] = weighted_mean(window, pixels);
        }
    }
}

fn weighted_mean(window: &Window, pixels: &[u8]) -> u8 {
    let taps = window.weights.iter().zip(&pixels[window.start..]);
    let sum: i32 = taps.map(|(&weight, &pixel)| weight * i32::from(pixel)).sum();
    to_pixel(sum + HALF)
}
