//! Cosine similarity of embeddings, and the greedy exemplar rule on it.
//!
//! Embeddings are half-precision numbers. Their products are exact in `f64`; a sum is taken in the order of the
//! features, whatever the way it is computed, and the similarity is rounded to `f32` at the end. So [`naive`] and
//! [`leader_in_groups`] agree to the bit, at any number of threads, and equal embeddings have similarity 1.

mod block;
mod half;
mod keep;
mod leader;
pub mod naive;
#[cfg(test)]
mod tests;

pub use keep::{angles, threshold_for_keep};
pub use leader::leader_in_groups;

use crate::select::SelectError;
use half::f32_from_half;

/// Embeddings of equal length, one after the other, as bits of IEEE 754 half precision.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings<'a> {
    features: usize,
    halves: &'a [u16],
}

impl<'a> Embeddings<'a> {
    /// Takes `halves` as embeddings of `features` numbers each; refuses numbers that are not finite.
    pub fn new(features: usize, halves: &'a [u16]) -> Result<Self, SelectError> {
        if features == 0 || !halves.len().is_multiple_of(features) {
            return Err(SelectError::Length {
                what: "embeddings",
                expected: features,
                found: halves.len(),
            });
        }
        match halves.iter().position(|&half| !f32_from_half(half).is_finite()) {
            Some(place) => Err(SelectError::NotFinite {
                row: place / features,
            }),
            None => Ok(Self { features, halves }),
        }
    }

    /// Number of embeddings.
    pub fn len(&self) -> usize {
        self.halves.len() / self.features
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    /// The numbers of one embedding.
    fn row(&self, row: usize) -> impl Iterator<Item = f32> + Clone + 'a {
        let halves = &self.halves[row * self.features..][..self.features];
        halves.iter().map(|&half| f32_from_half(half))
    }

    /// Its Euclidean length.
    fn length(&self, row: usize) -> f64 {
        self.row(row)
            .fold(0.0, |sum, x| sum + f64::from(x) * f64::from(x))
            .sqrt()
    }
}

/// For each row the kept row that covers it and its similarity to that.
#[derive(Clone, Debug, PartialEq)]
pub struct CosineSelection {
    /// The row itself if kept, else its exemplar: the first kept one that is similar.
    pub exemplar: Vec<u32>,
    /// Cosine similarity to the exemplar; 1 if kept.
    pub similarity: Vec<f32>,
}

impl CosineSelection {
    /// Number of kept rows.
    pub fn kept(&self) -> usize {
        (0u32..).zip(&self.exemplar).filter(|(row, e)| row == *e).count()
    }
}

/// The cosine from a sum of products and two lengths; 0 where a length is 0, as nothing is known of such a row.
fn cosine(dot: f64, a: f64, b: f64) -> f32 {
    let lengths = a * b;
    if lengths > 0.0 {
        (dot / lengths) as f32
    } else {
        0.0
    }
}

fn check(embeddings: Embeddings<'_>, starts: &[usize], threshold: f64) -> Result<(), SelectError> {
    crate::select::check_rows(embeddings.len())?;
    crate::select::check_starts(starts, embeddings.len())?;
    if (-1.0..=1.0).contains(&threshold) {
        Ok(())
    } else {
        Err(SelectError::Cosine { threshold })
    }
}
