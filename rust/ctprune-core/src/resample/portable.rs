//! The multiplications in plain loops, for processors without a version of their own.
//!
//! One row at a time: this loop compilers turn into vector instructions (SSE2 on x86-64). The sums of
//! eight rows side by side they keep in memory, which takes twice the instructions on x86-64 and, one
//! product at a time, seven times on aarch64.

use super::blocked::{self, BLOCK, ChunkBlock, Kernel};
use super::split::{CHUNK, Chunk, SplitWindow};

/// Multiplies by whatever the compiler finds.
#[derive(Clone, Copy)]
struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn block_sums(self, coefficients: &[Chunk], pixels: &[ChunkBlock]) -> [i32; BLOCK] {
        std::array::from_fn(|row| self.row_sum(coefficients, pixels, row))
    }

    #[inline(always)]
    fn row_sum(self, coefficients: &[Chunk], pixels: &[ChunkBlock], row: usize) -> i32 {
        let mut sums = [0; CHUNK];
        for (coefficients, block) in coefficients.iter().zip(pixels) {
            add_products(&mut sums, coefficients, &block[row]);
        }
        sums.iter().sum()
    }
}

#[inline(always)]
fn add_products(sums: &mut [i32; CHUNK], coefficients: &Chunk, pixels: &Chunk) {
    for ((sum, &coefficient), &pixel) in sums.iter_mut().zip(&coefficients.0).zip(&pixels.0) {
        *sum += i32::from(coefficient) * i32::from(pixel);
    }
}

/// See [`blocked::pass`].
pub(super) fn pass(
    windows: &[SplitWindow],
    input: &[u8],
    rows: usize,
    wide: &mut Vec<ChunkBlock>,
    output: &mut [u8],
) {
    blocked::pass(Portable, windows, input, rows, wide, output);
}
