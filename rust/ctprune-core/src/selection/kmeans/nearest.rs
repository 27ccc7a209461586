//! The nearest centroid of each vector: estimates leave one in nearly all cases, the exact similarity decides the rest.

use super::vectors::{Centroids, Vectors};
use crate::similarity::cosine::estimate::{Directions, error, estimates};
use crate::similarity::cosine::lanes::product;
use ctprune_cpu::Cpu;

/// Vectors that are compared with all centroids at a time.
pub(super) const ROWS: usize = 64;

/// Centroids that are held against them at a time.
const COLUMNS: usize = 96;

/// Centroids, ready to be compared with.
pub(super) struct Targets {
    pub directions: Directions,
    /// How far an estimate may be off.
    pub error: f32,
}

impl Targets {
    pub fn new(centroids: &Centroids) -> Self {
        let mut directions = Directions::new(centroids.features());
        for number in 0..centroids.len() {
            directions.push(|numbers| numbers.copy_from_slice(centroids.row(number)));
        }
        Self {
            directions,
            error: error(centroids.features()),
        }
    }

    /// The similarity of a vector with one of them.
    pub fn similarity(&self, unit: &[f32], number: u32) -> f32 {
        product(Cpu::detect(), unit, self.directions.row(number as usize)) as f32
    }

    /// The nearest of these, ties to the first, and its similarity; estimates are in the same order.
    pub fn exactly_nearest(&self, unit: &[f32], numbers: &[u32], estimates: &[f32]) -> (u32, f32) {
        let most = estimates.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut best = (u32::MAX, f32::NEG_INFINITY);
        for (&number, &estimate) in numbers.iter().zip(estimates) {
            if estimate < most - 2.0 * self.error {
                continue;
            }
            let similarity = self.similarity(unit, number);
            if similarity > best.1 || (similarity == best.1 && number < best.0) {
                best = (number, similarity);
            }
        }
        best
    }

    /// The clusters of these rows, which are given for all rows, with the similarity to each.
    pub fn measured<V: Vectors>(&self, vectors: &V, rows: &[u32], cluster: &[u32]) -> Vec<(u32, f32)> {
        let mut unit = vec![0.0; vectors.features()];
        let measured = rows.iter().map(|&row| {
            vectors.unit(row as usize, &mut unit);
            let number = cluster[row as usize];
            (number, self.similarity(&unit, number))
        });
        measured.collect()
    }

    /// The nearest to each of these rows, ties to the first, and the similarity to it.
    pub fn nearest<V: Vectors>(&self, vectors: &V, rows: &[u32]) -> Vec<(u32, f32)> {
        let mut units = Directions::new(vectors.features());
        for &row in rows {
            units.push(|numbers| vectors.unit(row as usize, numbers));
        }
        let which: Vec<u32> = (0..rows.len() as u32).collect();
        let all: Vec<u32> = (0..self.directions.len() as u32).collect();
        let mut best = vec![Best::NONE; rows.len()];
        let mut near = Vec::new();
        for numbers in all.chunks(COLUMNS) {
            estimates(&units, &which, &self.directions, numbers, &mut near);
            for (best, near) in best.iter_mut().zip(near.chunks_exact(numbers.len())) {
                best.offer_all(numbers, near);
            }
        }
        let found = best.iter().zip(&which).map(|(best, &row)| {
            let unit = units.row(row as usize);
            if best.second < best.first - 2.0 * self.error {
                (best.number, self.similarity(unit, best.number))
            } else {
                estimates(&units, &[row], &self.directions, &all, &mut near);
                self.exactly_nearest(unit, &all, &near)
            }
        });
        found.collect()
    }
}

/// The largest estimate, whose it is, and the second largest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Best {
    pub number: u32,
    pub first: f32,
    pub second: f32,
}

impl Best {
    pub const NONE: Self = Self {
        number: u32::MAX,
        first: f32::NEG_INFINITY,
        second: f32::NEG_INFINITY,
    };

    #[inline(always)]
    pub fn offer(&mut self, number: u32, estimate: f32) {
        if estimate > self.second {
            if estimate > self.first {
                self.second = self.first;
                (self.number, self.first) = (number, estimate);
            } else {
                self.second = estimate;
            }
        }
    }

    pub fn offer_all(&mut self, numbers: &[u32], estimates: &[f32]) {
        for (&number, &estimate) in numbers.iter().zip(estimates) {
            self.offer(number, estimate);
        }
    }
}
