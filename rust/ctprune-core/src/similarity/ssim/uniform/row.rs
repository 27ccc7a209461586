//! SSIM of a row of windows of two slices, from sums that are integers and exact.

use super::layout::{HALF_C2, LANES, OF_MEANS, SIDE, across};
use crate::similarity::ssim::C1;
use ctprune_cpu::{Cpu, by_cpu, prefetch};

/// Windows of a lane that are added in single precision before they go into the sum.
const TOGETHER: usize = 16;

/// How far ahead of their use windows are asked for: two rows of a slice of 512 × 512 pixels.
const AHEAD: usize = 1024;

/// A row of windows of one slice.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a> {
    /// At most 49 × 255.
    pub sums: &'a [i16],
    /// Extended, with half of the second constant.
    pub variances: &'a [f32],
}

impl<'a> Windows<'a> {
    /// Blocks of windows side by side.
    fn blocks(self) -> (&'a [[i16; LANES]], &'a [[f32; LANES]]) {
        (self.sums.as_chunks().0, self.variances.as_chunks().0)
    }
}

/// Adds SSIM of a row of windows, in lanes, so that the order of sums does not depend on the processor.
///
/// `columns` are the sums of products down the columns of the windows, filled up to a whole block behind the last one.
pub(super) fn add_row(cpu: Cpu, columns: &[i32], x: Windows<'_>, y: Windows<'_>, sum: &mut [f64; LANES]) {
    match cpu {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where these parts of AVX-512 were detected.
        Cpu::Avx512 => unsafe { avx512::add_row(columns, x, y, sum) },
        _ => add_row_in_loops(cpu, columns, x, y, sum),
    }
}

by_cpu! {
    fn add_row_in_loops[](columns: &[i32], x: Windows<'_>, y: Windows<'_>, sum: &mut [f64; LANES]) {
        let c1 = C1 as f32 * OF_MEANS;
        let ((xs, xv), (ys, yv)) = (x.blocks(), y.blocks());
        let count = xs.len().min(ys.len()).min(xv.len()).min(yv.len());
        for start in (0..count).step_by(TOGETHER) {
            let mut lanes = [0.0; LANES];
            for at in start..count.min(start + TOGETHER) {
                prefetch(&xs[at], AHEAD);
                prefetch(&xv[at], AHEAD);
                prefetch(&ys[at], AHEAD);
                prefetch(&yv[at], AHEAD);
                let columns = &columns[LANES * at..][..LANES + SIDE - 1];
                for lane in 0..LANES {
                    let (a, b) = (i32::from(xs[at][lane]), i32::from(ys[at][lane]));
                    let covariance = across(columns, lane) - a * b;
                    let (a, b) = (a as f32, b as f32);
                    let above = (a * b + 0.5 * c1) * (covariance as f32 + HALF_C2);
                    let below = (a * a + b * b + c1) * (xv[at][lane] + yv[at][lane]);
                    lanes[lane] += above / below;
                }
            }
            for (sum, lane) in sum.iter_mut().zip(lanes) {
                *sum += f64::from(lane);
            }
        }
    }
}

/// The same with the columns of two blocks in registers.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{AHEAD, C1, HALF_C2, LANES, OF_MEANS, TOGETHER, Windows};
    use crate::similarity::ssim::uniform::registers::{across, integers, singles, wide};
    use ctprune_cpu::prefetch;
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub fn add_row(columns: &[i32], x: Windows<'_>, y: Windows<'_>, sum: &mut [f64; LANES]) {
        let c1 = C1 as f32 * OF_MEANS;
        let [half_c1, c1, half_c2] = [0.5 * c1, c1, HALF_C2].map(|constant| _mm512_set1_ps(constant));
        let ((xs, xv), (ys, yv)) = (x.blocks(), y.blocks());
        let (columns, _) = columns.as_chunks::<LANES>();
        let count = xs.len().min(ys.len()).min(xv.len()).min(yv.len());
        let mut here = integers(&columns[0]);
        for start in (0..count).step_by(TOGETHER) {
            let mut lanes = _mm512_setzero_ps();
            for at in start..count.min(start + TOGETHER) {
                prefetch(&xs[at], AHEAD);
                prefetch(&xv[at], AHEAD);
                prefetch(&ys[at], AHEAD);
                prefetch(&yv[at], AHEAD);
                let next = integers(&columns[at + 1]);
                let (a, b) = (wide(&xs[at]), wide(&ys[at]));
                // The upper halves are zero, so that this is a product.
                let covariance = _mm512_sub_epi32(across(here, next), _mm512_madd_epi16(a, b));
                here = next;
                let (a, b) = (_mm512_cvtepi32_ps(a), _mm512_cvtepi32_ps(b));
                let means = _mm512_add_ps(_mm512_mul_ps(a, b), half_c1);
                let covariance = _mm512_add_ps(_mm512_cvtepi32_ps(covariance), half_c2);
                let sum_sq = _mm512_add_ps(_mm512_mul_ps(a, a), _mm512_mul_ps(b, b));
                let variances = _mm512_add_ps(singles(&xv[at]), singles(&yv[at]));
                let above = _mm512_mul_ps(means, covariance);
                let below = _mm512_mul_ps(_mm512_add_ps(sum_sq, c1), variances);
                lanes = _mm512_add_ps(lanes, _mm512_div_ps(above, below));
            }
            let mut added = [0.0; LANES];
            // SAFETY: sixteen lanes are sixty-four bytes.
            unsafe { _mm512_storeu_ps(added.as_mut_ptr(), lanes) };
            for (sum, lane) in sum.iter_mut().zip(added) {
                *sum += f64::from(lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LANES, Windows, add_row};
    use ctprune_cpu::Cpu;

    #[test]
    fn every_instruction_set_adds_the_same_to_the_bit() {
        let noise = |at: usize, seed: usize| (at * at * seed + at) % 7919;
        for blocks in [1, 2, 15, 16, 17, 40] {
            let windows = blocks * LANES;
            let sums = |seed| (0..windows).map(|at| noise(at, seed) as i16).collect::<Vec<_>>();
            let variances = |seed| {
                (0..windows)
                    .map(|at| 1e5 * noise(at, seed) as f32 + 7e4)
                    .collect::<Vec<_>>()
            };
            let columns: Vec<i32> = (0..windows + LANES)
                .map(|at| 1000 * noise(at, 13) as i32)
                .collect();
            let ((xs, xv), (ys, yv)) = ((sums(3), variances(5)), (sums(11), variances(17)));
            let on = |cpu| {
                let mut sum = [0.5; LANES];
                let (x, y) = (
                    Windows {
                        sums: &xs,
                        variances: &xv,
                    },
                    Windows {
                        sums: &ys,
                        variances: &yv,
                    },
                );
                add_row(cpu, &columns, x, y, &mut sum);
                sum.map(f64::to_bits)
            };
            for cpu in Cpu::available() {
                assert_eq!(on(cpu), on(Cpu::Baseline), "{cpu:?}, {blocks} blocks");
            }
        }
    }
}
