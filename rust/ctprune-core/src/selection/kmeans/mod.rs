//! Spherical k-means: clusters of directions, by cosine similarity.
//!
//! [`naive`] is the rule word for word. The fast way compares many vectors with many centroids at a time, on all
//! threads, leaves out those that cannot be the nearest, and agrees with it to the bit: a product is summed in `f64` and
//! rounded to `f32`, a centroid is summed in `f64` in the order of its vectors. A [`Device`] may compare in its place.

mod bounds;
mod device;
mod lloyd;
pub mod naive;
mod nearest;
#[cfg(test)]
pub(super) mod tests;
mod vectors;

pub use device::OnDevice;
pub use vectors::{Centroids, Device, Guesses, Vectors};

use super::SelectError;
use super::sample::ranks;
use crate::watch::Watch;
use lloyd::Lloyd;
use nearest::{ROWS, Targets};
use rayon::prelude::*;

/// Rounds at most; fewer where no vector changes its cluster any more.
const ROUNDS: usize = 20;

/// Vectors for each cluster that centroids are found from, at most: more of them hardly change a mean.
const TRAINED_ON: usize = 256;

/// The nearest centroid of each vector, and the similarity to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// Number of the centroid, ties to the first.
    pub cluster: Vec<u32>,
    /// Cosine similarity to it.
    pub similarity: Vec<f32>,
}

/// The centroids of so many clusters, no more than there are vectors.
///
/// They start as a seeded sample of the vectors. A cluster that has lost all vectors starts again from the one that is
/// farthest from its own centroid. Of more than 256 vectors for each cluster a seeded sample is taken. Once
/// `watch` is stopped, the result is [`SelectError::Stopped`].
pub fn kmeans<V: Vectors>(
    vectors: &V,
    clusters: usize,
    seed: u64,
    watch: &Watch,
) -> Result<Centroids, SelectError> {
    let rows: Vec<u32> = sample(vectors.len(), clusters.saturating_mul(TRAINED_ON), seed);
    kmeans_of(vectors, &rows, clusters, seed, watch)
}

/// [`kmeans`] of these vectors, all of them.
pub(super) fn kmeans_of<V: Vectors>(
    vectors: &V,
    rows: &[u32],
    clusters: usize,
    seed: u64,
    watch: &Watch,
) -> Result<Centroids, SelectError> {
    if rows.is_empty() {
        return Ok(Centroids::empty(vectors.features()));
    }
    let first = sample(rows.len(), clusters, seed.wrapping_add(1));
    let first: Vec<u32> = first.into_iter().map(|at| rows[at as usize]).collect();
    let mut lloyd = Lloyd::new(vectors, rows, Centroids::of_rows(vectors, &first));
    for _ in 0..ROUNDS {
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        if !lloyd.assign(watch)? {
            break;
        }
        lloyd.update();
    }
    Ok(lloyd.into_centroids())
}

/// The nearest centroid of each vector. Once `watch` is stopped, the result is [`SelectError::Stopped`].
pub fn assign<V: Vectors>(
    vectors: &V,
    centroids: &Centroids,
    watch: &Watch,
) -> Result<Assignment, SelectError> {
    let targets = Targets::new(centroids);
    let rows: Vec<u32> = (0..vectors.len() as u32).collect();
    let elsewhere = device::nearest(vectors.device(), vectors, &rows, centroids, &targets, watch)?;
    let nearest = |rows: &[u32]| {
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        Ok(match &elsewhere {
            Some(cluster) => targets.measured(vectors, rows, cluster),
            None => targets.nearest(vectors, rows),
        })
    };
    let found: Vec<Vec<(u32, f32)>> = rows.par_chunks(ROWS).map(nearest).collect::<Result<_, _>>()?;
    let (cluster, similarity) = found.into_iter().flatten().unzip();
    Ok(Assignment { cluster, similarity })
}

/// The members of each cluster, in order.
pub(super) fn members(cluster: &[u32], clusters: usize) -> Vec<Vec<u32>> {
    let mut members = vec![Vec::new(); clusters];
    for (row, &cluster) in (0u32..).zip(cluster) {
        members[cluster as usize].push(row);
    }
    members
}

/// A seeded sample of so many numbers below `count`, ascending; all where there are no more.
fn sample(count: usize, size: usize, seed: u64) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    if size < count {
        let rank = ranks(seed);
        numbers.sort_by_cached_key(|&number| rank(number as usize));
        numbers.truncate(size);
        numbers.sort_unstable();
    }
    numbers
}
