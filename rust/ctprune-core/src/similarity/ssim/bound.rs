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
use ctprune_cpu::{Cpu, by_cpu};

/// Rows and columns of windows in a block.
pub(super) const BLOCK: usize = 8;

/// Statistics of a slice's blocks, row by row.
#[derive(Debug)]
pub(super) struct Coarse {
    /// Number of blocks in a row.
    columns: usize,
    windows: Vec<f32>,
    of: Statistics,
}

/// Sums, and ranges of the means.
#[derive(Debug, Default)]
struct Statistics {
    means: Vec<f32>,
    sum_sq: Vec<f32>,
    lowest: Vec<f32>,
    highest: Vec<f32>,
    deviations: Vec<f32>,
    variances: Vec<f32>,
}

/// Statistics of blocks in the making.
pub(super) struct CoarseRows {
    cpu: Cpu,
    size: (usize, usize),
    rows: usize,
    /// Of each column of windows, over those rows of the current row of blocks that were added.
    columns: Statistics,
    blocks: Coarse,
}

impl CoarseRows {
    /// For so many rows and columns of windows.
    pub fn new(cpu: Cpu, size: (usize, usize)) -> Self {
        let zeros = || vec![0.0; size.1];
        Self {
            cpu,
            size,
            rows: 0,
            columns: Statistics {
                means: zeros(),
                sum_sq: zeros(),
                lowest: vec![f32::INFINITY; size.1],
                highest: zeros(),
                deviations: zeros(),
                variances: zeros(),
            },
            blocks: Coarse {
                columns: size.1.div_ceil(BLOCK),
                windows: Vec::new(),
                of: Statistics::default(),
            },
        }
    }

    /// The next row: mean and variance of each window.
    pub fn add(&mut self, means: &[f32], variances: &[f32]) {
        add_row(self.cpu, &mut self.columns, means, variances);
        self.rows += 1;
        if self.rows.is_multiple_of(BLOCK) || self.rows == self.size.0 {
            self.close();
        }
    }

    fn close(&mut self) {
        let rows = (self.rows - 1) % BLOCK + 1;
        let widths = (0..self.size.1)
            .step_by(BLOCK)
            .map(|at| BLOCK.min(self.size.1 - at));
        self.blocks
            .windows
            .extend(widths.map(|columns| (rows * columns) as f32));
        let (columns, blocks) = (&mut self.columns, &mut self.blocks.of);
        fold(&mut columns.means, &mut blocks.means, 0.0, |a, b| a + b);
        fold(&mut columns.sum_sq, &mut blocks.sum_sq, 0.0, |a, b| a + b);
        fold(&mut columns.lowest, &mut blocks.lowest, f32::INFINITY, f32::min);
        fold(&mut columns.highest, &mut blocks.highest, 0.0, f32::max);
        fold(&mut columns.deviations, &mut blocks.deviations, 0.0, |a, b| a + b);
        fold(&mut columns.variances, &mut blocks.variances, 0.0, |a, b| a + b);
    }

    /// The statistics, once all rows were added.
    pub fn finish(self) -> Coarse {
        self.blocks
    }
}

/// Folds the columns of each block into one value, and starts the columns anew.
fn fold(columns: &mut [f32], blocks: &mut Vec<f32>, start: f32, with: impl Fn(f32, f32) -> f32) {
    let block = |columns: &[f32]| columns.iter().fold(start, |folded, &column| with(folded, column));
    blocks.extend(columns.chunks(BLOCK).map(block));
    columns.fill(start);
}

by_cpu! {
    fn add_row[](columns: &mut Statistics, means: &[f32], variances: &[f32]) {
        let width = means.len();
        let variances = &variances[..width];
        let (sums, sum_sq) = (&mut columns.means[..width], &mut columns.sum_sq[..width]);
        let (lowest, highest) = (&mut columns.lowest[..width], &mut columns.highest[..width]);
        let (deviations, spreads) = (&mut columns.deviations[..width], &mut columns.variances[..width]);
        for at in 0..width {
            let (mean, variance) = (means[at], variances[at]);
            sums[at] += mean;
            sum_sq[at] += mean * mean;
            lowest[at] = if mean < lowest[at] { mean } else { lowest[at] };
            highest[at] = if mean > highest[at] { mean } else { highest[at] };
            deviations[at] += (if variance > 0.0 { variance } else { 0.0 }).sqrt();
            spreads[at] += variance;
        }
    }
}

impl Coarse {
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
            means: &self.of.means[part.clone()],
            sum_sq: &self.of.sum_sq[part.clone()],
            lowest: &self.of.lowest[part.clone()],
            highest: &self.of.highest[part.clone()],
            deviations: &self.of.deviations[part.clone()],
            variances: &self.of.variances[part],
        }
    }
}

/// A row of blocks.
#[derive(Clone, Copy)]
struct Row<'a> {
    windows: &'a [f32],
    means: &'a [f32],
    sum_sq: &'a [f32],
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
            let a = means * means / (x.sum_sq[at] + y.sum_sq[at] + windows * c1);
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
