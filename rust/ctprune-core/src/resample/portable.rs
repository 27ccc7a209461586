//! The multiplications in plain loops, which compilers turn into NEON on aarch64 and SSE2 on x86-64.

use super::blocked::{self, BLOCK, ChunkBlock, Kernel};
use super::split::{CHUNK, Chunk, SplitWindow};

/// Multiplies with whatever every processor of the target has.
#[derive(Clone, Copy)]
struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn block_sums(self, coefficients: &[Chunk], pixels: &[ChunkBlock]) -> [i32; BLOCK] {
        let mut sums = [[0; CHUNK]; BLOCK];
        for (coefficients, block) in coefficients.iter().zip(pixels) {
            for (sums, pixels) in sums.iter_mut().zip(block) {
                add_products(sums, coefficients, pixels);
            }
        }
        sums.map(|sums| sums.iter().sum())
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
