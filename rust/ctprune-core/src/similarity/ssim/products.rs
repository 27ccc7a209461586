//! Sums of products of two slices down the columns of a window: a row comes in below, one leaves above.
//!
//! Both rows stand side by side, as pairs of pixels. So one instruction multiplies both and takes their difference.

use super::uniform::SIDE;
use crate::cpu::Cpu;

/// A pixel, and the one that leaves the window when it comes in: [`SIDE`] rows above, 0 where there is none.
pub(super) type Pair = [u8; 2];

/// `n`, the number of pixels of a window, by which products are multiplied.
const TIMES: i16 = (SIDE * SIDE) as i16;

/// What to do with the row that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It was never added.
    Ignore,
    /// Take it off.
    Subtract,
}

impl Leaving {
    fn weights(self) -> [i16; 2] {
        match self {
            Leaving::Ignore => [TIMES, 0],
            Leaving::Subtract => [TIMES, -TIMES],
        }
    }
}

/// Adds `n` times the products of a row of two slices to `columns`, of which there may be more than pairs.
pub(super) fn slide(cpu: Cpu, columns: &mut [i32], pairs: [&[Pair]; 2], leaving: Leaving) {
    let weights = leaving.weights();
    match cpu {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where AVX2 was detected.
        Cpu::Avx2 => unsafe { x86::avx2(columns, pairs, weights) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where these parts of AVX-512 were detected.
        Cpu::Avx512 => unsafe { x86::avx512(columns, pairs, weights) },
        _ => plain(columns, pairs, weights),
    }
}

fn plain(columns: &mut [i32], [a, b]: [&[Pair]; 2], weights: [i16; 2]) {
    let weights = weights.map(i32::from);
    for (column, (a, b)) in columns.iter_mut().zip(a.iter().zip(b)) {
        let product = |at: usize| weights[at] * i32::from(u16::from(a[at]) * u16::from(b[at]));
        *column += product(0) + product(1);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Pair, plain};
    use std::arch::x86_64::*;

    /// Both weights of a pair, as one number.
    fn together([new, old]: [i16; 2]) -> i32 {
        i32::from(new as u16) | i32::from(old) << 16
    }

    #[target_feature(enable = "avx2")]
    pub fn avx2(columns: &mut [i32], [a, b]: [&[Pair]; 2], weights: [i16; 2]) {
        let factors = _mm256_set1_epi32(together(weights));
        let count = columns.len().min(a.len()).min(b.len());
        let (columns, rest) = columns[..count].as_chunks_mut::<8>();
        let (a, rest_of_a) = a[..count].as_chunks::<8>();
        let (b, rest_of_b) = b[..count].as_chunks::<8>();
        for (columns, (a, b)) in columns.iter_mut().zip(a.iter().zip(b)) {
            let wide = |pairs: &[Pair; 8]| {
                // SAFETY: eight pairs are sixteen bytes.
                _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(pairs.as_ptr().cast()) })
            };
            let products = _mm256_madd_epi16(wide(a), _mm256_mullo_epi16(wide(b), factors));
            let target = columns.as_mut_ptr().cast();
            // SAFETY: eight columns are thirty-two bytes.
            unsafe { _mm256_storeu_si256(target, _mm256_add_epi32(_mm256_loadu_si256(target), products)) };
        }
        plain(rest, [rest_of_a, rest_of_b], weights);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub fn avx512(columns: &mut [i32], [a, b]: [&[Pair]; 2], weights: [i16; 2]) {
        let factors = _mm512_set1_epi32(together(weights));
        let count = columns.len().min(a.len()).min(b.len());
        let (columns, rest) = columns[..count].as_chunks_mut::<16>();
        let (a, rest_of_a) = a[..count].as_chunks::<16>();
        let (b, rest_of_b) = b[..count].as_chunks::<16>();
        for (columns, (a, b)) in columns.iter_mut().zip(a.iter().zip(b)) {
            let wide = |pairs: &[Pair; 16]| {
                // SAFETY: sixteen pairs are thirty-two bytes.
                _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(pairs.as_ptr().cast()) })
            };
            let products = _mm512_madd_epi16(wide(a), _mm512_mullo_epi16(wide(b), factors));
            let target = columns.as_mut_ptr().cast();
            // SAFETY: sixteen columns are sixty-four bytes.
            unsafe { _mm512_storeu_si512(target, _mm512_add_epi32(_mm512_loadu_si512(target), products)) };
        }
        plain(rest, [rest_of_a, rest_of_b], weights);
    }
}

#[cfg(test)]
mod tests {
    use super::{Leaving, Pair, slide};
    use crate::cpu::Cpu;

    #[test]
    fn every_instruction_set_adds_the_same() {
        let noise = |seed: usize| move |at: usize| [(at * seed % 256) as u8, (255 - at * at % 256) as u8];
        for count in [1, 7, 8, 15, 16, 17, 100, 512] {
            let a: Vec<Pair> = (0..count).map(noise(37)).collect();
            let b: Vec<Pair> = (0..count).map(noise(101)).collect();
            for (leaving, old) in [(Leaving::Ignore, 0), (Leaving::Subtract, -49)] {
                let product = |at: usize, of: usize| i32::from(a[at][of]) * i32::from(b[at][of]);
                let mut expected: Vec<i32> = (0..count)
                    .map(|at| 7 + 49 * product(at, 0) + old * product(at, 1))
                    .collect();
                expected.extend([7; 3]);
                for cpu in Cpu::available() {
                    let mut columns = vec![7; count + 3];
                    slide(cpu, &mut columns, [&a, &b], leaving);
                    assert_eq!(columns, expected, "{cpu:?}, {count} columns");
                }
            }
        }
    }
}
