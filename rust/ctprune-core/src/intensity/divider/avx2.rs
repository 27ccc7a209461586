//! The division by AVX2, sixteen distances at a time. Compilers do not find its rounding product.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_and_si256, _mm256_cmpgt_epi16, _mm256_loadu_si256, _mm256_mulhrs_epi16,
    _mm256_mullo_epi16, _mm256_packus_epi16, _mm256_permute4x64_epi64, _mm256_set1_epi16, _mm256_sub_epi16,
};

use super::{CHUNK, Divide, Divider};

/// Exists only where AVX2 was detected.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Avx2Divider(Divider);

impl Avx2Divider {
    /// The same division by AVX2.
    #[target_feature(enable = "avx2")]
    pub fn new(divider: Divider) -> Self {
        Self(divider)
    }
}

impl Divide for Avx2Divider {
    #[inline(always)]
    fn grays(self, distances: &[u16; CHUNK]) -> [u8; CHUNK] {
        // SAFETY: only code compiled for AVX2 can make a value of this type.
        unsafe { grays(self.0, distances) }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn grays(divider: Divider, distances: &[u16; CHUNK]) -> [u8; CHUNK] {
    let (first, second) = distances.split_at(CHUNK / 2);
    // SAFETY: each half is 16 numbers of 16 bits, the 32 bytes that are loaded, at any address.
    let halves = unsafe {
        [
            _mm256_loadu_si256(first.as_ptr().cast()),
            _mm256_loadu_si256(second.as_ptr().cast()),
        ]
    };
    let packed = _mm256_packus_epi16(gray(divider, halves[0]), gray(divider, halves[1]));
    // Packing interleaves the halves of its operands; put them in order.
    let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
    // SAFETY: both are 32 bytes without padding, and any bits are 32 bytes.
    unsafe { std::mem::transmute::<__m256i, [u8; CHUNK]>(ordered) }
}

/// [`Divider::gray`], step by step.
#[target_feature(enable = "avx2")]
#[inline]
fn gray(divider: Divider, distance: __m256i) -> __m256i {
    let all = |value| _mm256_set1_epi16(value);
    let quotient = _mm256_mulhrs_epi16(distance, all(divider.reciprocal));
    let remainder = _mm256_sub_epi16(
        _mm256_mullo_epi16(distance, all(255)),
        _mm256_mullo_epi16(quotient, all(divider.width)),
    );
    let against_half = _mm256_add_epi16(remainder, _mm256_and_si256(quotient, all(divider.even)));
    // The comparison gives −1 where it holds.
    _mm256_sub_epi16(quotient, _mm256_cmpgt_epi16(against_half, all(divider.half)))
}
