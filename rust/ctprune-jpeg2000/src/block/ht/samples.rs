//! The four samples of a quad from the bits of MagSgn (ISO/IEC 15444-15, 7.3.7 and 7.3.8).
//!
//! Each sample takes a number of bits that is known beforehand: its sign, then its magnitude, of which the
//! highest bit may be left out because the exponent patterns tell it.

use super::bits::Bits;
use super::codewords::Quad;
use super::significance;

/// Bits of the four samples, a byte each.
#[derive(Clone, Copy)]
pub(crate) struct Lengths(u32);

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
    /// Four samples of up to so many bits can be taken out of one word.
    pub const MOST_IN_WORD: u32 = 14;

    /// Of a quad whose samples have at most `most` bits.
    #[inline(always)]
    pub fn new(quad: Quad, most: u32) -> Self {
        let known = BYTES[usize::from(quad >> 4 & 15)];
        Lengths(BYTES[significance(quad) as usize & 15] * most - known)
    }

    #[inline(always)]
    pub fn sum(self) -> usize {
        (self.0.wrapping_mul(0x0101_0101) >> 24) as usize
    }

    /// Bits before each sample.
    #[inline(always)]
    fn starts(self) -> u32 {
        self.0.wrapping_mul(0x0101_0100)
    }
}

/// A quad's samples: upper left, lower left, upper right, lower right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Samples {
    /// Twice their values, with the half in the middle of what is not known.
    pub doubled: [i32; 4],
    /// Of the lower two.
    pub exponents: [u8; 2],
}

fn byte(bytes: u32, n: usize) -> u32 {
    bytes >> (8 * n) & 0xFF
}

impl Samples {
    #[inline(always)]
    fn new(quad: Quad, lengths: Lengths, planes: u32, bits_of: impl Fn(usize) -> u32) -> Self {
        let mut samples = Samples {
            doubled: [0; 4],
            exponents: [0; 2],
        };
        for n in 0..4 {
            if significance(quad) >> n & 1 == 0 {
                continue;
            }
            let (bits, length) = (bits_of(n), byte(lengths.0, n));
            let known = u32::from(quad >> n & 1) << length;
            // The sign's place is taken by the half.
            let magnitude = bits & ((1 << length) - 1) | known | 1;
            let doubled = (magnitude.wrapping_add(2) << (planes - 1) & 0x7FFF_FFFF) as i32;
            samples.doubled[n] = if bits & 1 == 1 { -doubled } else { doubled };
            if n % 2 == 1 {
                samples.exponents[n / 2] = (32 - magnitude.leading_zeros()) as u8;
            }
        }
        samples
    }
}

/// Samples whose bits all lie in `word`.
#[inline(always)]
pub(crate) fn portable(word: u64, quad: Quad, lengths: Lengths, planes: u32) -> Samples {
    let starts = lengths.starts();
    Samples::new(quad, lengths, planes, |n| (word >> byte(starts, n)) as u32)
}

/// Whether the processor can run [`avx2`].
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

/// Samples of any length, from bit `at` on.
#[cold]
pub(crate) fn long(bits: &Bits, at: usize, quad: Quad, lengths: Lengths, planes: u32) -> Samples {
    let starts = lengths.starts();
    Samples::new(quad, lengths, planes, |n| {
        bits.peek(at + byte(starts, n) as usize) as u32
    })
}

/// The same as [`portable`], all four at once.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,lzcnt,bmi1,bmi2")]
pub(crate) fn avx2(word: u64, quad: Quad, lengths: Lengths, planes: u32) -> Samples {
    use std::arch::x86_64::*;
    let spread = |bytes: u32| _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(bytes as i32));
    let one = _mm256_set1_epi64x(1);
    let count = spread(lengths.0);
    let bits = _mm256_srlv_epi64(_mm256_set1_epi64x(word as i64), spread(lengths.starts()));
    let mask = _mm256_sub_epi64(_mm256_sllv_epi64(one, count), one);
    let known = _mm256_sllv_epi64(spread(BYTES[usize::from(quad & 15)]), count);
    let magnitude = _mm256_or_si256(_mm256_or_si256(_mm256_and_si256(bits, mask), known), one);
    let above = _mm256_add_epi64(magnitude, _mm256_set1_epi64x(2));
    let shifted = _mm256_sll_epi64(above, _mm_cvtsi32_si128(planes as i32 - 1));
    let doubled = _mm256_and_si256(shifted, _mm256_set1_epi64x(0x7FFF_FFFF));
    // Sign as all ones or zeros; samples that are not significant become zero.
    let zero = _mm256_setzero_si256();
    let negative = _mm256_sub_epi64(zero, _mm256_and_si256(bits, one));
    let signed = _mm256_sub_epi64(_mm256_xor_si256(doubled, negative), negative);
    let significant = spread(BYTES[significance(quad) as usize & 15]);
    let kept = _mm256_and_si256(signed, _mm256_sub_epi64(zero, significant));
    // The lower half of each.
    let order = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    let four = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(kept, order));
    let mut doubled = [0; 4];
    // SAFETY: there is room for four numbers of 32 bits.
    unsafe { _mm_storeu_si128(doubled.as_mut_ptr().cast(), four) };
    let exponent = |magnitude: i64, n: u32| match significance(quad) >> n & 1 {
        0 => 0,
        _ => (64 - magnitude.leading_zeros()) as u8,
    };
    Samples {
        doubled,
        exponents: [
            exponent(_mm256_extract_epi64::<1>(magnitude), 1),
            exponent(_mm256_extract_epi64::<3>(magnitude), 3),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_give_the_same() {
        let mut word = 0x0123_4567_89AB_CDEFu64;
        for most in 1..=Lengths::MOST_IN_WORD {
            for pattern in 0..1 << 12 {
                let quad: Quad = pattern;
                // Exponent patterns lie within what is significant.
                if u32::from(quad >> 4 & 15) & !significance(quad) != 0 || quad & 15 & !(quad >> 4) != 0 {
                    continue;
                }
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 1;
                let lengths = Lengths::new(quad, most);
                let expected = portable(word & ((1 << 57) - 1), quad, lengths, 1 + most % 7);
                let mut bits = Bits::default();
                let bytes = (word & 0x7F7F_7F7F_7F7F_7F7F).to_le_bytes();
                bits.set_forward(&bytes, 64);
                let again = portable(bits.peek(0), quad, lengths, 3);
                assert_eq!(long(&bits, 0, quad, lengths, 3), again);
                #[cfg(target_arch = "x86_64")]
                if has_avx2() {
                    // SAFETY: the processor can.
                    let fast = unsafe { avx2(word & ((1 << 57) - 1), quad, lengths, 1 + most % 7) };
                    assert_eq!(fast, expected);
                }
            }
        }
    }
}
