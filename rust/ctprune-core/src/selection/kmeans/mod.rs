//! Spherical k-means: clusters of directions, by cosine similarity.
//!
//! [`naive`] is the rule word for word. The fast way compares many vectors with many centroids at a time, on all
//! threads, and agrees with it to the bit: a product is summed in `f32` in the order of the features, a centroid in `f64`
//! in the order of its vectors.

pub(super) mod block;
pub mod naive;
#[cfg(test)]
pub(super) mod tests;
mod vectors;

pub use vectors::{Centroids, Vectors};

use super::SelectError;
use super::sample::ranks;
use crate::watch::Watch;
use block::nearest;
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
    let first = sample(rows.len(), clusters, seed.wrapping_add(1));
    let first: Vec<u32> = first.into_iter().map(|at| rows[at as usize]).collect();
    let mut centroids = Centroids::of_rows(vectors, &first);
    let mut before: Option<Assignment> = None;
    for _ in 0..ROUNDS {
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        let now = assign_rows(vectors, rows, &centroids);
        if before.is_some_and(|before| before.cluster == now.cluster) {
            break;
        }
        centroids = means(vectors, rows, &now, &centroids);
        before = Some(now);
    }
    Ok(centroids)
}

/// The nearest centroid of each vector.
pub fn assign<V: Vectors>(vectors: &V, centroids: &Centroids) -> Assignment {
    let rows: Vec<u32> = (0..vectors.len() as u32).collect();
    assign_rows(vectors, &rows, centroids)
}

fn assign_rows<V: Vectors>(vectors: &V, rows: &[u32], centroids: &Centroids) -> Assignment {
    let panels = block::panels(centroids, 0..centroids.len());
    let found: Vec<(u32, f32)> = rows
        .par_chunks(block::ROWS)
        .flat_map_iter(|rows| nearest(vectors, rows, &panels))
        .collect();
    let (cluster, similarity) = found.into_iter().unzip();
    Assignment { cluster, similarity }
}

/// The mean directions of clusters. One without vectors, or whose vectors cancel out, starts again.
fn means<V: Vectors>(vectors: &V, rows: &[u32], assignment: &Assignment, before: &Centroids) -> Centroids {
    let members = members(&assignment.cluster, before.len());
    let mean = |members: &Vec<u32>| {
        let mut sums = vec![0.0f64; vectors.features()];
        let mut numbers = vec![0.0f32; vectors.features()];
        for &at in members {
            vectors.unit(rows[at as usize] as usize, &mut numbers);
            for (sum, &number) in sums.iter_mut().zip(&numbers) {
                *sum += f64::from(number);
            }
        }
        vectors::direction(&sums)
    };
    let found: Vec<Option<Vec<f32>>> = members.par_iter().map(mean).collect();
    // The vectors that fit worst, for the clusters that have none.
    let missing = found.iter().filter(|mean| mean.is_none()).count();
    let mut worst: Vec<usize> = (0..rows.len()).collect();
    if missing > 0 {
        worst.sort_by(|&a, &b| assignment.similarity[a].total_cmp(&assignment.similarity[b]));
    }
    let mut spare = worst.into_iter();
    let mut centroids = Centroids::empty(vectors.features());
    for mean in found {
        match (mean, &mut spare) {
            (Some(mean), _) => centroids.push(&mean),
            (None, spare) => {
                let row = spare.next().map_or(0, |at| rows[at] as usize);
                let mut numbers = vec![0.0f32; vectors.features()];
                vectors.unit(row, &mut numbers);
                centroids.push(&numbers);
            }
        }
    }
    centroids
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
