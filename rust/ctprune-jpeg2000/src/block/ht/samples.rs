//! The samples of a pair of quads from the bits of MagSgn (ISO/IEC 15444-15, 7.3.7 and 7.3.8).
//!
//! Each sample takes a number of bits that is known beforehand: its sign, then its magnitude, of which the
//! highest bit may be left out because the exponent patterns tell it.

use super::bits::Bits;
use super::codewords::{Quad, significance};

/// Bits of the eight samples, a byte each, the first one lowest.
#[derive(Clone, Copy)]
pub(crate) struct Lengths(u64);

/// Four bits as bytes of zero or one.
const BYTES: [u32; 16] = {
    let mut bytes = [0; 16];
    let mut n = 0;
    while n < 16 {
        let bits = n as u32;
        bytes[n] = bits & 1 | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21;
        n += 1;
    }
    bytes
};

impl Lengths {
    /// Samples of up to so many bits can be taken out of sixteen bytes, wherever the first of them begins in
    /// its byte.
    #[cfg(target_arch = "x86_64")]
    pub const MOST_IN_BYTES: u32 = 15;

    /// Of a pair whose samples have at most `most` bits, no more than 31.
    #[inline(always)]
    pub fn new(quads: [Quad; 2], most: [u32; 2]) -> Self {
        let of = |n: usize| {
            let known = BYTES[(quads[n] >> 4 & 15) as usize];
            BYTES[significance(quads[n]) as usize & 15]
                .wrapping_mul(most[n])
                .wrapping_sub(known)
        };
        Lengths(u64::from(of(0)) | u64::from(of(1)) << 32)
    }

    #[inline(always)]
    pub fn sum(self) -> usize {
        (self.0.wrapping_mul(0x0101_0101_0101_0101) >> 56) as usize
    }

    /// Bits before each sample.
    #[inline(always)]
    fn starts(self) -> u64 {
        self.0.wrapping_mul(0x0101_0101_0101_0100)
    }
}

/// The samples of a pair of quads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Samples {
    /// Twice their values, with the half in the middle of what is not known: four in the upper row, four in
    /// the lower.
    pub doubled: [[i32; 4]; 2],
    /// Magnitudes of the lower four, with a one in place of the sign; zero where a sample is not
    /// significant.
    pub magnitudes: [u32; 4],
}

/// Samples of any length, from bit `at` on.
#[inline(always)]
pub(crate) fn plain(bits: &Bits, at: usize, quads: [Quad; 2], lengths: Lengths, planes: u32) -> Samples {
    let mut samples = Samples {
        doubled: [[0; 4]; 2],
        magnitudes: [0; 4],
    };
    let (starts, lengths) = (lengths.starts().to_le_bytes(), lengths.0.to_le_bytes());
    for n in 0..8 {
        let (quad, of_quad) = (quads[n / 4], n % 4);
        if significance(quad) >> of_quad & 1 == 0 {
            continue;
        }
        let (row, column) = (n % 2, n / 2);
        let bits = bits.peek(at + usize::from(starts[n])) as u32;
        let known = (quad >> of_quad & 1) << lengths[n];
        // The half takes the place of the sign.
        let magnitude = bits & ((1 << lengths[n]) - 1) | known | 1;
        let doubled = (magnitude.wrapping_add(2) << (planes - 1) & 0x7FFF_FFFF) as i32;
        samples.doubled[row][column] = if bits & 1 == 1 { -doubled } else { doubled };
        if row == 1 {
            samples.magnitudes[column] = magnitude;
        }
    }
    samples
}

/// The same where no sample has more than [`Lengths::MOST_IN_BYTES`] bits, all eight at once.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn avx2(bits: &Bits, at: usize, quads: [Quad; 2], lengths: Lengths, planes: u32) -> Samples {
    use std::arch::x86_64::*;
    let starts = lengths
        .starts()
        .wrapping_add((at as u64 % 8) * 0x0101_0101_0101_0101);
    // Each byte of a word four times.
    let order = _mm256_setr_epi8(
        0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7,
    );
    let starts = _mm256_shuffle_epi8(_mm256_set1_epi64x(starts as i64), order);
    // The four bytes from the one where a sample begins. Behind the sixteenth it goes on with the first, but
    // no sample does.
    let first = _mm256_and_si256(_mm256_srli_epi16::<3>(starts), _mm256_set1_epi8(0x1F));
    let indices = _mm256_add_epi8(first, _mm256_set1_epi32(0x0302_0100));
    let bytes = bits.bytes(at);
    // SAFETY: there are sixteen bytes.
    let bytes = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) });
    let shifts = _mm256_and_si256(starts, _mm256_set1_epi32(7));
    let bits = _mm256_srlv_epi32(_mm256_shuffle_epi8(bytes, indices), shifts);

    let one = _mm256_set1_epi32(1);
    let above = _mm256_sllv_epi32(one, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(lengths.0 as i64)));
    let mask = _mm256_sub_epi32(above, one);
    // All ones where a sample has its bit in a pattern.
    let masks = |[first, second]: [u32; 2]| {
        let each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        let pattern = _mm256_set1_epi32((first | second << 4) as i32);
        _mm256_cmpeq_epi32(_mm256_and_si256(pattern, each), each)
    };
    let known = _mm256_and_si256(above, masks(quads.map(|quad| quad & 15)));
    let significant = masks(quads.map(significance));
    let magnitude = _mm256_or_si256(_mm256_or_si256(_mm256_and_si256(bits, mask), known), one);
    let centered = _mm256_add_epi32(magnitude, _mm256_set1_epi32(2));
    let shifted = _mm256_sll_epi32(centered, _mm_cvtsi32_si128(planes as i32 - 1));
    let doubled = _mm256_and_si256(shifted, _mm256_set1_epi32(0x7FFF_FFFF));
    let sign = _mm256_or_si256(_mm256_slli_epi32::<31>(bits), one);
    let doubled = _mm256_and_si256(_mm256_sign_epi32(doubled, sign), significant);
    let magnitude = _mm256_and_si256(magnitude, significant);
    // From quads to rows.
    let rows = |quads: __m256i| {
        let columns = _mm256_shuffle_epi32::<0b11_01_10_00>(quads);
        _mm256_permute4x64_epi64::<0b11_01_10_00>(columns)
    };
    let lower = _mm256_extracti128_si256::<1>(rows(magnitude));
    let mut samples = Samples {
        doubled: [[0; 4]; 2],
        magnitudes: [0; 4],
    };
    // SAFETY: there is room for eight and four numbers of 32 bits.
    unsafe {
        _mm256_storeu_si256(samples.doubled.as_mut_ptr().cast(), rows(doubled));
        _mm_storeu_si128(samples.magnitudes.as_mut_ptr().cast(), lower);
    }
    samples
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same() {
        if !is_x86_feature_detected!("avx2") {
            return;
        }
        let mut word = 0x0123_4567_89AB_CDEFu64;
        let mut random = || {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (word >> 20) as u32
        };
        // Exponent patterns lie within what is significant.
        let patterns: Vec<Quad> = (0..1 << 12)
            .filter(|&quad| (quad >> 4 & 15) & !significance(quad) == 0 && quad & 15 & !(quad >> 4) == 0)
            .collect();
        let mut bits = Bits::default();
        for round in 0..200_000 {
            if round % 100 == 0 {
                let bytes: Vec<u8> = (0..40).map(|_| (random() & 0x7F) as u8).collect();
                bits.set_forward(&bytes, 64);
            }
            let quads = [0; 2].map(|_| patterns[random() as usize % patterns.len()]);
            let most = [0; 2].map(|_| 1 + random() % Lengths::MOST_IN_BYTES);
            let lengths = Lengths::new(quads, most);
            let (at, planes) = (random() as usize % 200, 1 + random() % 20);
            // SAFETY: the processor can.
            let fast = unsafe { avx2(&bits, at, quads, lengths, planes) };
            assert_eq!(
                fast,
                plain(&bits, at, quads, lengths, planes),
                "{quads:?}, {most:?}"
            );
        }
    }
}
