//! Sums, means and variances of a row of windows of one slice.

use super::layout::{HALF_C2, LANES, OF_COVARIANCES, PIXELS, SIDE, across};
use ctprune_cpu::{Cpu, by_cpu};

/// Where they go, whole blocks of [`LANES`] windows.
pub(super) struct Statistics<'a> {
    /// As in [`super::row::Windows`].
    pub sums: &'a mut [i16],
    /// As in [`super::row::Windows`].
    pub variances: &'a mut [f32],
    pub means: &'a mut [f32],
    /// Sample variances.
    pub spreads: &'a mut [f32],
}

/// From sums of pixels, and of their squares times 49, down the columns; a block more of them than of windows.
pub(super) fn statistics(cpu: Cpu, plain: &[i16], squared: &[i32], row: Statistics<'_>) {
    match cpu {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where these parts of AVX-512 were detected.
        Cpu::Avx512 => unsafe { statistics_avx512(plain, squared, row) },
        _ => {
            add_up(cpu, plain, squared, row.sums, row.variances);
            scale(cpu, row);
        }
    }
}

by_cpu! {
    /// Sums and extended variances.
    fn add_up[](plain: &[i16], squared: &[i32], sums: &mut [i16], variances: &mut [f32]) {
        let width = sums.len();
        let (plain, squared) = (&plain[..width + SIDE - 1], &squared[..width + SIDE - 1]);
        let variances = &mut variances[..width];
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = plain[at..at + SIDE].iter().sum();
        }
        for (at, (variance, &sum)) in variances.iter_mut().zip(&*sums).enumerate() {
            let sum = i32::from(sum);
            *variance = (across(squared, at) - sum * sum) as f32;
        }
    }
}

by_cpu! {
    /// Means and sample variances, and half of the constant for the extended ones.
    fn scale[](row: Statistics<'_>) {
        let of_sums = row.sums.iter().zip(row.variances);
        for (((&sum, variance), mean), spread) in of_sums.zip(row.means).zip(row.spreads) {
            *mean = f32::from(sum) * (1.0 / PIXELS);
            *spread = *variance * (1.0 / OF_COVARIANCES);
            *variance += HALF_C2;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn statistics_avx512(plain: &[i16], squared: &[i32], row: Statistics<'_>) {
    use super::registers::{across, integers, wide};
    use std::arch::x86_64::*;
    let (plain, squared) = (plain.as_chunks::<LANES>().0, squared.as_chunks::<LANES>().0);
    let blocks = row.sums.as_chunks_mut::<LANES>().0.iter_mut();
    let blocks = blocks.zip(row.variances.as_chunks_mut::<LANES>().0);
    let blocks = blocks.zip(row.means.as_chunks_mut::<LANES>().0);
    let blocks = blocks.zip(row.spreads.as_chunks_mut::<LANES>().0);
    let constant = |value: f32| _mm512_set1_ps(value);
    let (of_means, of_spreads) = (constant(1.0 / PIXELS), constant(1.0 / OF_COVARIANCES));
    let half_c2 = constant(HALF_C2);
    let (mut pixels, mut squares) = (wide(&plain[0]), integers(&squared[0]));
    for (at, (((sums, variances), means), spreads)) in blocks.enumerate() {
        let (next_pixels, next_squares) = (wide(&plain[at + 1]), integers(&squared[at + 1]));
        let sum = across(pixels, next_pixels);
        // The upper halves are zero, so that this is a product.
        let variance = _mm512_sub_epi32(across(squares, next_squares), _mm512_madd_epi16(sum, sum));
        (pixels, squares) = (next_pixels, next_squares);
        let variance = _mm512_cvtepi32_ps(variance);
        let mean = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), of_means);
        // SAFETY: each has room for sixteen numbers.
        unsafe {
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(sum));
            _mm512_storeu_ps(variances.as_mut_ptr(), _mm512_add_ps(variance, half_c2));
            _mm512_storeu_ps(means.as_mut_ptr(), mean);
            _mm512_storeu_ps(spreads.as_mut_ptr(), _mm512_mul_ps(variance, of_spreads));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LANES;
    use super::{Statistics, statistics};
    use ctprune_cpu::Cpu;

    #[test]
    fn every_instruction_set_gives_the_same_to_the_bit() {
        for blocks in [1, 2, 32] {
            let windows = blocks * LANES;
            let pixels: Vec<i16> = (0..windows + LANES)
                .map(|at| (at * at * 31 % 1786) as i16)
                .collect();
            let squares: Vec<i32> = pixels
                .iter()
                .map(|&sum| 49 * (i32::from(sum) * i32::from(sum) / 7 + 3))
                .collect();
            let on = |cpu| {
                let mut sums = vec![0; windows];
                let [mut variances, mut means, mut spreads] = [0.0f32; 3].map(|zero| vec![zero; windows]);
                let row = Statistics {
                    sums: &mut sums,
                    variances: &mut variances,
                    means: &mut means,
                    spreads: &mut spreads,
                };
                statistics(cpu, &pixels, &squares, row);
                let bits = [variances, means, spreads]
                    .map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>());
                (sums, bits)
            };
            for cpu in Cpu::available() {
                assert_eq!(on(cpu), on(Cpu::Baseline), "{cpu:?}, {blocks} blocks");
            }
        }
    }
}
