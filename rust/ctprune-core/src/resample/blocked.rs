//! One pass of the resampling, eight rows at a time, on split coefficients.

use super::lanczos::{PRECISION_BITS, to_pixel};
use super::split::{CHUNK, Chunk, SplitWindow};

/// Rows that share the loading of a coefficient.
pub(super) const BLOCK: usize = 8;

/// As many pixels of each row of a block, side by side, so that one address finds them all.
pub(super) type ChunkBlock = [Chunk; BLOCK];

/// The multiplications, by one instruction set.
pub(super) trait Kernel: Copy {
    /// Sums of products of the coefficients with each row.
    fn block_sums(self, coefficients: &[Chunk], pixels: &[ChunkBlock]) -> [i32; BLOCK];

    /// Sum of products of the coefficients with one row.
    fn row_sum(self, coefficients: &[Chunk], pixels: &[ChunkBlock], row: usize) -> i32;

    /// Asks for pixels that will be read soon. A block is about a page of memory, and processors do not
    /// run ahead into the next page by themselves while they compute.
    #[inline(always)]
    fn prefetch(self, _pixels: &[u8]) {}
}

/// Resamples each of `rows` rows and writes the result transposed, `windows.len() × rows`.
///
/// `wide` is kept for its memory. Always inlined, so that it is compiled for the kernel's instructions.
#[inline(always)]
pub(super) fn pass(
    kernel: impl Kernel,
    windows: &[SplitWindow],
    input: &[u8],
    rows: usize,
    wide: &mut Vec<ChunkBlock>,
    output: &mut [u8],
) {
    let columns = input.len() / rows;
    wide.clear();
    wide.resize(columns.div_ceil(CHUNK), [Chunk::ZERO; BLOCK]);
    let mut ahead = input
        .chunks((BLOCK * columns).div_ceil(windows.len()))
        .skip(windows.len());
    for (block, pixels) in input.chunks(BLOCK * columns).enumerate() {
        for (row, pixels) in pixels.chunks_exact(columns).enumerate() {
            widen(pixels, row, wide);
        }
        let in_block = pixels.len() / columns;
        for (x, window) in windows.iter().enumerate() {
            kernel.prefetch(ahead.next().unwrap_or_default());
            let at = x * rows + block * BLOCK;
            resample_block(
                kernel,
                window,
                &wide[window.start..],
                &mut output[at..at + in_block],
            );
        }
    }
}

/// Copies a row of pixels into its 16-bit chunks; what is left of the last one stays zero.
#[inline(always)]
fn widen(pixels: &[u8], row: usize, wide: &mut [ChunkBlock]) {
    let (whole, rest) = pixels.split_at(pixels.len() - pixels.len() % CHUNK);
    for (pixels, block) in whole.chunks_exact(CHUNK).zip(&mut *wide) {
        for (wide, &pixel) in block[row].0.iter_mut().zip(pixels) {
            *wide = pixel.into();
        }
    }
    if let Some(block) = wide.get_mut(pixels.len() / CHUNK) {
        block[row]
            .0
            .iter_mut()
            .zip(rest)
            .for_each(|(wide, &pixel)| *wide = pixel.into());
    }
}

/// One output pixel of each row of a block.
#[inline(always)]
fn resample_block(kernel: impl Kernel, window: &SplitWindow, wide: &[ChunkBlock], output: &mut [u8]) {
    let sums = kernel.block_sums(&window.major, wide);
    let estimates = sums.map(|sum| (sum << window.shift).wrapping_add(window.bias));
    let least = estimates.map(|sum| sum.wrapping_sub(window.margin) >> PRECISION_BITS);
    let most = estimates.map(|sum| sum.wrapping_add(window.margin) >> PRECISION_BITS);
    let mut pixels = least.map(|pixel| pixel.clamp(0, 255) as u8);
    if least != most {
        // The rare pixels whose rounding the estimate leaves open.
        for row in (0..output.len()).filter(|&row| least[row] != most[row]) {
            let minor_sum = kernel.row_sum(&window.minor, wide, row);
            pixels[row] = to_pixel(window.exact(sums[row], minor_sum));
        }
    }
    output.copy_from_slice(&pixels[..output.len()]);
}
