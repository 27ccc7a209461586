//! Similarities of many vectors with many others at a time: a matrix product of which only a little stays.

use crate::selection::kmeans::Vectors;
use crate::similarity::cosine::Embeddings;
use ctprune_cpu::{Cpu, by_cpu};
use std::ops::Range;

/// Vectors of one block: they stay in the cache of a core while all others pass.
pub(super) const ROWS: usize = 64;

/// Vectors that are held against a panel together.
const TALL: usize = 4;

/// Vectors of a panel: as many sums run side by side.
const WIDE: usize = 16;

/// Vectors side by side: for each feature the numbers of all.
pub(super) struct Panel {
    numbers: Vec<[f32; WIDE]>,
    first: u32,
    count: usize,
}

/// These rows, in panels.
pub(super) fn panels(embeddings: Embeddings<'_>, rows: Range<usize>) -> Vec<Panel> {
    let panel = |first: usize| {
        let count = WIDE.min(rows.end - first);
        let mut numbers = vec![[0.0; WIDE]; embeddings.features()];
        let mut unit = vec![0.0; embeddings.features()];
        for column in 0..count {
            embeddings.unit(first + column, &mut unit);
            for (numbers, &number) in numbers.iter_mut().zip(&unit) {
                numbers[column] = number;
            }
        }
        let first = first as u32;
        Panel {
            numbers,
            first,
            count,
        }
    };
    rows.clone().step_by(WIDE).map(panel).collect()
}

/// Some rows, to be held against panels.
pub(super) struct Block {
    numbers: Vec<f32>,
    rows: usize,
    features: usize,
    cpu: Cpu,
}

impl Block {
    /// Takes these rows.
    pub fn new(embeddings: Embeddings<'_>, rows: &[u32]) -> Self {
        let features = embeddings.features();
        // Rows that only fill up are zeros.
        let mut numbers = vec![0.0f32; rows.len().next_multiple_of(TALL) * features];
        for (&row, numbers) in rows.iter().zip(numbers.chunks_exact_mut(features)) {
            embeddings.unit(row as usize, numbers);
        }
        Self {
            numbers,
            rows: rows.len(),
            features,
            cpu: Cpu::detect(),
        }
    }

    /// Calls with the index of each row, the number of the first vector of a panel, and the similarities to its vectors.
    pub fn each(&self, panels: &[Panel], mut call: impl FnMut(usize, u32, &[f32])) {
        for panel in panels {
            let blocks = self.numbers.chunks_exact(TALL * self.features);
            for (first, numbers) in (0..self.rows).step_by(TALL).zip(blocks) {
                let mut sums = [[0.0; WIDE]; TALL];
                products(self.cpu, numbers, &panel.numbers, &mut sums);
                for (row, sums) in (first..self.rows).zip(&sums) {
                    call(row, panel.first, &sums[..panel.count]);
                }
            }
        }
    }
}

by_cpu! {
    fn products[](rows: &[f32], panel: &[[f32; WIDE]], sums: &mut [[f32; WIDE]; TALL]) {
        let features = panel.len();
        let (a, rest) = rows.split_at(features);
        let (b, rest) = rest.split_at(features);
        let (c, d) = rest.split_at(features);
        let mut found = *sums;
        for ((((columns, &a), &b), &c), &d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
            for (sums, number) in found.iter_mut().zip([a, b, c, d]) {
                for (sum, &column) in sums.iter_mut().zip(columns) {
                    *sum += number * column;
                }
            }
        }
        *sums = found;
    }
}
