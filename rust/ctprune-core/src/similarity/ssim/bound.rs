//! An upper bound of SSIM from statistics of blocks of windows.
//!
//! Of a window, SSIM is `S1 S2`, the likeness of the means times that of the structure. With `a = 1 − S1` and
//! `t = 1 − S2`, `0 ≤ a ≤ 1` and `0 ≤ t ≤ 2`, it is `1 − f` where `f = a + t (1 − a)`.
//!
//! * `a = (μx − μy)² / (μx² + μy² + C1)`, and by Cauchy and Schwarz `t ≥ (σx − σy)² / (σx² + σy² + C2)`.
//! * Over a block, `Σ u²/v ≥ (Σ u)² / Σ v`: both sums are bounded by sums that each slice has by itself.
//! * `f ≥ a + t S` where `S` is the smallest `S1` that the ranges of the two means allow, and `f ≥ t / 2`.
//!
//! So sums and ranges of 8 × 8 windows, 2 % of the slice's own maps, bound each block.

use super::{C1, C2};
use crate::cpu::{Cpu, by_cpu};

/// Rows and columns of windows in a block.
pub(super) const BLOCK: usize = 8;

/// Statistics of a slice's blocks, row by row.
#[derive(Debug)]
pub(super) struct Coarse {
    columns: usize,
    windows: Vec<f32>,
    means: Vec<f32>,
    squares: Vec<f32>,
    lowest: Vec<f32>,
    highest: Vec<f32>,
    deviations: Vec<f32>,
    variances: Vec<f32>,
}

impl Coarse {
    /// Of windows whose mean and variance `statistics` gives.
    pub fn new((rows, columns): (usize, usize), statistics: impl Fn(usize, usize) -> (f32, f32)) -> Self {
        let blocks = columns.div_ceil(BLOCK);
        let size = rows.div_ceil(BLOCK) * blocks;
        let mut coarse = Self {
            columns: blocks,
            windows: vec![0.0; size],
            means: vec![0.0; size],
            squares: vec![0.0; size],
            lowest: vec![f32::INFINITY; size],
            highest: vec![0.0; size],
            deviations: vec![0.0; size],
            variances: vec![0.0; size],
        };
        for row in 0..rows {
            for column in 0..columns {
                let (mean, variance) = statistics(row, column);
                let at = row / BLOCK * blocks + column / BLOCK;
                coarse.windows[at] += 1.0;
                coarse.means[at] += mean;
                coarse.squares[at] += mean * mean;
                coarse.lowest[at] = coarse.lowest[at].min(mean);
                coarse.highest[at] = coarse.highest[at].max(mean);
                coarse.deviations[at] += variance.max(0.0).sqrt();
                coarse.variances[at] += variance;
            }
        }
        coarse
    }

    /// For each row of blocks an upper bound of the sum of SSIM over its windows.
    pub fn bounds(&self, cpu: Cpu, other: &Self) -> Vec<f64> {
        let mut bounds = vec![0.0; self.columns];
        let rows = (0..self.windows.len()).step_by(self.columns);
        rows.map(|start| {
            block_bounds(cpu, self.row(start), other.row(start), &mut bounds);
            bounds.iter().map(|&bound| f64::from(bound)).sum()
        })
        .collect()
    }

    fn row(&self, start: usize) -> Row<'_> {
        let part = start..start + self.columns;
        Row {
            windows: &self.windows[part.clone()],
            means: &self.means[part.clone()],
            squares: &self.squares[part.clone()],
            lowest: &self.lowest[part.clone()],
            highest: &self.highest[part.clone()],
            deviations: &self.deviations[part.clone()],
            variances: &self.variances[part],
        }
    }
}

/// A row of blocks.
#[derive(Clone, Copy)]
struct Row<'a> {
    windows: &'a [f32],
    means: &'a [f32],
    squares: &'a [f32],
    lowest: &'a [f32],
    highest: &'a [f32],
    deviations: &'a [f32],
    variances: &'a [f32],
}

by_cpu! {
    fn block_bounds[](x: Row<'_>, y: Row<'_>, out: &mut [f32]) {
        let (c1, c2) = (C1 as f32, C2 as f32);
        for (at, out) in out.iter_mut().enumerate() {
            let windows = x.windows[at];
            let means = x.means[at] - y.means[at];
            let a = means * means / (x.squares[at] + y.squares[at] + windows * c1);
            let deviations = x.deviations[at] - y.deviations[at];
            let t = deviations * deviations / (x.variances[at] + y.variances[at] + windows * c2);
            let one = likeness(x.lowest[at], y.highest[at], c1);
            let other = likeness(x.highest[at], y.lowest[at], c1);
            let smallest = if one < other { one } else { other };
            let (sum, half) = (a + t * smallest, 0.5 * t);
            // `a` and `t` are sums over the block already, divided by its number of windows' worth of spread.
            *out = windows - if sum > half { sum } else { half };
        }
    }
}

/// `S1` of two means. It falls as they part, so the ends of two ranges give its least.
#[inline(always)]
fn likeness(a: f32, b: f32, c1: f32) -> f32 {
    (2.0 * a * b + c1) / (a * a + b * b + c1)
}
