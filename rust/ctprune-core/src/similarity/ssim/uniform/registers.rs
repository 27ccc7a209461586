//! Columns of two blocks in registers of AVX-512: reading the seven columns of a window from memory, each across the border
//! of two cache lines, takes longer than SSIM's division.

use super::layout::LANES;
use std::arch::x86_64::*;

/// For each of sixteen columns, the sum of it and the six that follow.
#[target_feature(enable = "avx512f")]
pub(super) fn across(here: __m512i, next: __m512i) -> __m512i {
    let two = _mm512_add_epi32(here, _mm512_alignr_epi32::<1>(next, here));
    // Its last lane is wrong, and not used.
    let next_two = _mm512_add_epi32(next, _mm512_alignr_epi32::<1>(next, next));
    let four = _mm512_add_epi32(two, _mm512_alignr_epi32::<2>(next_two, two));
    let three = _mm512_add_epi32(
        _mm512_alignr_epi32::<4>(next_two, two),
        _mm512_alignr_epi32::<6>(next, here),
    );
    _mm512_add_epi32(four, three)
}

#[target_feature(enable = "avx512f")]
pub(super) fn integers(values: &[i32; LANES]) -> __m512i {
    // SAFETY: sixteen integers are sixty-four bytes.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
pub(super) fn wide(values: &[i16; LANES]) -> __m512i {
    // SAFETY: sixteen short integers are thirty-two bytes.
    _mm512_cvtepi16_epi32(unsafe { _mm256_loadu_si256(values.as_ptr().cast()) })
}

#[target_feature(enable = "avx512f")]
pub(super) fn singles(values: &[f32; LANES]) -> __m512 {
    // SAFETY: sixteen numbers are sixty-four bytes.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}
