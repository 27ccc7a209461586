//! k-center selection, farthest first: keep the point that is farthest from all that are kept, again and again.
//!
//! No selection of as many points has a covering radius (the largest distance from a point to its nearest kept one) of
//! less than half of this one's: Gonzalez, Clustering to minimize the maximum intercluster distance (1985). As a core
//! set for training: Sener, Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach (2018).
//!
//! [`naive`] is the rule word for word, and [`kcenter`] agrees with it to the bit, at any number of threads.

pub mod naive;
#[cfg(test)]
mod tests;
mod traversal;

use super::points::{Cosine, Hamming, Metric};
use super::{PointSelection, Points, SelectError, check_count, check_starts};
use crate::similarity::cosine::lanes::Measured;
use crate::watch::Watch;
use rayon::prelude::*;
use traversal::{Traversal, Until, traverse};

/// When to keep no more.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// Each point has a kept one at most so many bits away, or of at least this similarity.
    Threshold(f64),
    /// So many are kept; but at least one of each group.
    Count(usize),
}

/// Keeps points of each group, from its first one on: always the one that is farthest from those kept, ties to the first
/// in order. The exemplar of another point is the nearest kept one, ties to the one that was kept first.
///
/// A number of points goes to the groups whose points are far apart: all groups end at the same radius. Returns the
/// radius as well, in bits or as a similarity.
pub fn kcenter(
    points: Points<'_>,
    starts: &[usize],
    stop: Stop,
    watch: &Watch,
) -> Result<(f64, PointSelection), SelectError> {
    check_count(points.len())?;
    check_starts(starts, points.len())?;
    match points {
        Points::Fingerprints(fingerprints) => {
            let until = |threshold: f64| threshold;
            let (apart, selection) = select(&Hamming(fingerprints), starts, stop, until, watch)?;
            Ok((apart.unwrap_or(0.0), selection))
        }
        Points::Embeddings(embeddings) => {
            let metric = Cosine(Measured::new(embeddings));
            let (apart, mut selection) = select(&metric, starts, stop, |threshold| -threshold, watch)?;
            for (row, similarity) in selection.measured.iter_mut().enumerate() {
                let is_kept = selection.exemplar[row] as usize == row;
                *similarity = if is_kept { 1.0 } else { 0.0 - *similarity };
            }
            Ok((apart.map_or(1.0, |apart| 0.0 - apart), selection))
        }
    }
}

/// The radius, `None` where all are kept, and the selection, with what points are apart.
fn select<M: Metric>(
    metric: &M,
    starts: &[usize],
    stop: Stop,
    apart_of: impl Fn(f64) -> f64,
    watch: &Watch,
) -> Result<(Option<f64>, PointSelection), SelectError> {
    let groups = || {
        let groups = starts.par_windows(2).map(|group| group[0]..group[1]);
        groups.filter(|group| !group.is_empty())
    };
    let found: Vec<Traversal> = match stop {
        Stop::Threshold(threshold) => {
            let until = Until {
                count: usize::MAX,
                apart: apart_of(threshold),
            };
            let found = groups().map(|rows| traverse(metric, rows, until, watch));
            found.collect::<Result<_, _>>()?
        }
        Stop::Count(count) => {
            let most = Until::count(count.max(1));
            let found = groups().map(|rows| traverse(metric, rows, most, watch));
            let found: Vec<Traversal> = found.collect::<Result<_, _>>()?;
            if let [_] = found[..] {
                found
            } else {
                let counts = counts(&found, count);
                let rows: Vec<_> = groups().collect();
                let again = rows.into_par_iter().zip(counts);
                again
                    .map(|(rows, count)| traverse(metric, rows, Until::count(count), watch))
                    .collect::<Result<_, _>>()?
            }
        }
    };
    let mut selection = PointSelection {
        exemplar: (0..starts.last().map_or(0, |&rows| rows as u32)).collect(),
        measured: vec![0.0; starts.last().copied().unwrap_or(0)],
    };
    let mut radius: Option<f64> = None;
    for traversal in found {
        for (row, exemplar, apart) in traversal.covered() {
            selection.exemplar[row as usize] = exemplar;
            selection.measured[row as usize] = apart;
            radius = Some(radius.map_or(f64::from(apart), |radius| radius.max(f64::from(apart))));
        }
    }
    Ok((radius, selection))
}

/// How many each group keeps of `count`: its first one, and of all the others those that were farthest when they were
/// kept, ties to the first group.
fn counts(found: &[Traversal], count: usize) -> Vec<usize> {
    let others = found.iter().enumerate().flat_map(|(group, traversal)| {
        let later = traversal.inserted().skip(1);
        later.map(move |apart| (group, apart))
    });
    let mut others: Vec<(usize, f32)> = others.collect();
    // Stable: in a group they fall already.
    others.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut counts = vec![1; found.len()];
    for &(group, _) in others.iter().take(count.saturating_sub(found.len())) {
        counts[group] += 1;
    }
    counts
}
