//! The Gaussian window: σ = 1.5, cut at 3.5 σ, so 11 × 11 pixels; population covariance. In double precision.

use super::bound::{BLOCK, Coarse, CoarseRows};
use super::{C1, C2};
use crate::similarity::Picture;
use ctprune_cpu::{Cpu, by_cpu};
use std::ops::Range;

/// Rows and columns of a window.
pub(super) const SIDE: usize = 11;

const SIGMA: f64 = 1.5;

/// A slice's pixels, and mean and variance of each window.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    columns: usize,
    pixels: &'a [u8],
    means: Vec<f64>,
    variances: Vec<f64>,
}

/// Weights along one axis; their sum is 1.
fn weights() -> [f64; SIDE] {
    let middle = (SIDE / 2) as f64;
    let bell = |at: usize| libm::exp(-0.5 * (at as f64 - middle) * (at as f64 - middle) / (SIGMA * SIGMA));
    let bells: [f64; SIDE] = std::array::from_fn(bell);
    let sum: f64 = bells.iter().sum();
    bells.map(|bell| bell / sum)
}

impl<'a> Maps<'a> {
    /// As [`super::uniform::Maps::new`].
    pub fn new(cpu: Cpu, picture: Picture<'a>, spare: Option<Self>) -> (Self, Coarse) {
        let (columns, pixels) = (picture.columns, picture.pixels);
        let (rows, width) = (picture.rows - SIDE + 1, columns - SIDE + 1);
        let (means, variances) = spare.map_or_else(Default::default, |maps| (maps.means, maps.variances));
        let mut maps = Self {
            columns,
            pixels,
            means,
            variances,
        };
        maps.means.resize(rows * width, 0.0);
        maps.variances.resize(rows * width, 0.0);
        let mut coarse = CoarseRows::new(cpu, (rows, width));
        let (weights, ones) = (weights(), vec![1; columns]);
        let mut between = vec![0.0; columns];
        let (mut centers, mut spreads) = (vec![0.0; width], vec![0.0; width]);
        for row in 0..rows {
            let part = row * width..(row + 1) * width;
            let (means, variances) = (&mut maps.means[part.clone()], &mut maps.variances[part]);
            down(cpu, &weights, [pixels, &ones], [row * columns, 0], &mut between);
            along(cpu, &weights, &between, means);
            down(cpu, &weights, [pixels; 2], [row * columns; 2], &mut between);
            along(cpu, &weights, &between, variances);
            for ((mean, variance), (center, spread)) in means
                .iter()
                .zip(variances)
                .zip(centers.iter_mut().zip(&mut spreads))
            {
                *variance -= mean * mean;
                (*center, *spread) = (*mean as f32, *variance as f32);
            }
            coarse.add(&centers, &spreads);
        }
        (maps, coarse.finish())
    }
}

/// As [`super::uniform::sums`].
pub(super) fn sums(
    cpu: Cpu,
    a: &Maps<'_>,
    b: &Maps<'_>,
    rows: Range<usize>,
    each: &mut dyn FnMut(usize, f64) -> bool,
) -> bool {
    let weights = weights();
    let width = a.columns - SIDE + 1;
    let mut between = vec![0.0; a.columns];
    let mut products = vec![0.0; width];
    let mut sum = 0.0;
    for row in rows.clone() {
        down(
            cpu,
            &weights,
            [a.pixels, b.pixels],
            [row * a.columns; 2],
            &mut between,
        );
        along(cpu, &weights, &between, &mut products);
        let part = row * width..(row + 1) * width;
        let means = [&a.means[part.clone()], &b.means[part.clone()]];
        let variances = [&a.variances[part.clone()], &b.variances[part]];
        finish(cpu, means, variances, &mut products);
        sum += products.iter().sum::<f64>();
        if (row + 1).is_multiple_of(BLOCK) || row + 1 == rows.end {
            if !each(row / BLOCK, sum) {
                return false;
            }
            sum = 0.0;
        }
    }
    true
}

by_cpu! {
    /// Weighted sums of products down the columns. The second slice may be a single row, which then serves for all.
    fn down[](weights: &[f64; SIDE], slices: [&[u8]; 2], starts: [usize; 2], out: &mut [f64]) {
        let columns = out.len();
        let step = if slices[1].len() == columns { 0 } else { columns };
        out.fill(0.0);
        for (row, &weight) in weights.iter().enumerate() {
            let a = &slices[0][starts[0] + row * columns..][..columns];
            let b = &slices[1][starts[1] + row * step..][..columns];
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out += weight * f64::from(i32::from(a) * i32::from(b));
            }
        }
    }
}

by_cpu! {
    /// Weighted sums along a row.
    fn along[](weights: &[f64; SIDE], row: &[f64], out: &mut [f64]) {
        let width = out.len();
        out.fill(0.0);
        for (offset, &weight) in weights.iter().enumerate() {
            for (out, &value) in out.iter_mut().zip(&row[offset..offset + width]) {
                *out += weight * value;
            }
        }
    }
}

by_cpu! {
    /// From the means of products to SSIM, in place.
    fn finish[](means: [&[f64]; 2], variances: [&[f64]; 2], products: &mut [f64]) {
        for (at, product) in products.iter_mut().enumerate() {
            let (a, b) = (means[0][at], means[1][at]);
            let covariance = *product - a * b;
            let above = (2.0 * a * b + C1) * (2.0 * covariance + C2);
            *product = above / ((a * a + b * b + C1) * (variances[0][at] + variances[1][at] + C2));
        }
    }
}
