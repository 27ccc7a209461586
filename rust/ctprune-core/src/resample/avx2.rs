//! The multiplications by AVX2: `vpmaddwd` takes 16 products and 8 sums in one instruction.

use std::arch::x86_64::{
    __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi32, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_load_si256, _mm256_madd_epi16,
    _mm256_permute2x128_si256, _mm256_setzero_si256,
};

use ctprune_cpu::prefetch;

use super::blocked::{self, BLOCK, ChunkBlock, Kernel};
use super::split::{Chunk, SplitWindow};

/// Bytes that memory hands over at a time.
const CACHE_LINE: usize = 64;

/// Exists only where AVX2 was detected.
#[derive(Clone, Copy)]
struct Avx2(());

impl Kernel for Avx2 {
    #[inline(always)]
    fn block_sums(self, coefficients: &[Chunk], pixels: &[ChunkBlock]) -> [i32; BLOCK] {
        // SAFETY: a value of this type proves that AVX2 is there.
        unsafe { block_sums(coefficients, pixels) }
    }

    #[inline(always)]
    fn row_sum(self, coefficients: &[Chunk], pixels: &[ChunkBlock], row: usize) -> i32 {
        // SAFETY: a value of this type proves that AVX2 is there.
        unsafe { row_sum(coefficients, pixels, row) }
    }

    #[inline(always)]
    fn prefetch(self, pixels: &[u8]) {
        for line in pixels.chunks(CACHE_LINE) {
            prefetch(line, 0);
        }
    }
}

/// See [`blocked::pass`].
#[target_feature(enable = "avx2")]
pub(super) fn pass(
    windows: &[SplitWindow],
    input: &[u8],
    rows: usize,
    wide: &mut Vec<ChunkBlock>,
    output: &mut [u8],
) {
    blocked::pass(Avx2(()), windows, input, rows, wide, output);
}

#[target_feature(enable = "avx2")]
#[inline]
fn block_sums(coefficients: &[Chunk], pixels: &[ChunkBlock]) -> [i32; BLOCK] {
    let mut sums = [_mm256_setzero_si256(); BLOCK];
    for (coefficients, block) in coefficients.iter().zip(pixels) {
        let coefficients = load(coefficients);
        for (sum, pixels) in sums.iter_mut().zip(block) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(coefficients, load(pixels)));
        }
    }
    // SAFETY: both are 32 bytes without padding, and any bits are eight integers.
    unsafe { std::mem::transmute::<__m256i, [i32; BLOCK]>(totals(sums)) }
}

/// The totals of eight vectors, in order.
#[target_feature(enable = "avx2")]
#[inline]
fn totals(v: [__m256i; BLOCK]) -> __m256i {
    let first = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    let second = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
    let low_halves = _mm256_permute2x128_si256::<0x20>(first, second);
    let high_halves = _mm256_permute2x128_si256::<0x31>(first, second);
    _mm256_add_epi32(low_halves, high_halves)
}

#[target_feature(enable = "avx2")]
#[inline]
fn row_sum(coefficients: &[Chunk], pixels: &[ChunkBlock], row: usize) -> i32 {
    let mut sum = _mm256_setzero_si256();
    for (coefficients, block) in coefficients.iter().zip(pixels) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(load(coefficients), load(&block[row])));
    }
    let four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(chunk: &Chunk) -> __m256i {
    // SAFETY: a chunk is 32 bytes, aligned to 32.
    unsafe { _mm256_load_si256(std::ptr::from_ref(chunk).cast()) }
}
