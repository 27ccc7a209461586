//! Facility location: keep the points that are, together, closest to all.
//!
//! Each point is worth its similarity to the most similar kept one among its nearest neighbors; the sum is to be large.
//! The point that adds most comes next, ties to the first in order. The sum of so many points is at least 1 − 1/e of the
//! largest possible one (Nemhauser, Wolsey, Fisher 1978). As a selection of training data: Wei, Iyer, Bilmes,
//! Submodularity in Data Subset Selection and Active Learning (2015); Mirzasoleiman, Bilmes, Leskovec, Coresets for
//! Data-efficient Training of Machine Learning Models (2020).
//!
//! Similarities are whole numbers here, so that sums are exact and what a point adds can only fall: the lazy way, which
//! looks again at the most promising point only, finds what [`naive`] finds.

mod block;
mod graph;
pub mod naive;
#[cfg(test)]
mod tests;

pub use graph::{Edge, NEIGHBORS, graph};

use super::{NO_EXEMPLAR, PointSelection, Points, SelectError, check_count, check_starts};
use crate::watch::Watch;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Keeps `count` points, of all groups together; neighbors are of the same group.
///
/// The exemplar of another point is the most similar kept one among its neighbors, ties to the one kept first; where no
/// neighbor is kept it has none. `measured` is the Hamming distance or the cosine similarity to the exemplar.
pub fn facility(
    points: Points<'_>,
    starts: &[usize],
    count: usize,
    watch: &Watch,
) -> Result<PointSelection, SelectError> {
    check_count(points.len())?;
    check_starts(starts, points.len())?;
    let graph = graph(points, starts, watch)?;
    let kept = lazy_greedy(&graph, count, watch)?;
    let strictest = if points.are_similarities() { 1.0 } else { 0.0 };
    let mut selection = PointSelection {
        exemplar: vec![NO_EXEMPLAR; points.len()],
        measured: vec![f32::NAN; points.len()],
    };
    let mut turn = vec![u32::MAX; points.len()];
    for (number, &row) in (0u32..).zip(&kept) {
        turn[row as usize] = number;
    }
    for (row, edges) in graph.iter().enumerate() {
        let is_kept = |edge: &&Edge| turn[edge.to as usize] != u32::MAX;
        let best = edges
            .iter()
            .filter(is_kept)
            .max_by_key(|edge| (edge.weight, Reverse(turn[edge.to as usize])));
        if turn[row] != u32::MAX {
            (selection.exemplar[row], selection.measured[row]) = (row as u32, strictest);
        } else if let Some(edge) = best {
            (selection.exemplar[row], selection.measured[row]) = (edge.to, edge.measured);
        }
    }
    Ok(selection)
}

/// The kept rows, in the order in which they were taken.
fn lazy_greedy(graph: &[Vec<Edge>], count: usize, watch: &Watch) -> Result<Vec<u32>, SelectError> {
    // From each row to those that it can serve.
    let mut served: Vec<Vec<(u32, u32)>> = vec![Vec::new(); graph.len()];
    for (row, edges) in (0u32..).zip(graph) {
        for edge in edges {
            served[edge.to as usize].push((row, edge.weight));
        }
    }
    let mut now = vec![0u32; graph.len()];
    let gain = |now: &[u32], row: u32| -> u64 {
        let served = served[row as usize].iter();
        served
            .map(|&(other, weight)| u64::from(weight.saturating_sub(now[other as usize])))
            .sum()
    };
    let first = (0..graph.len() as u32).map(|row| (gain(&now, row), Reverse(row)));
    let mut heap: BinaryHeap<(u64, Reverse<u32>)> = first.collect();
    let mut kept = Vec::new();
    while kept.len() < count {
        let Some((bound, Reverse(row))) = heap.pop() else {
            break;
        };
        let found = gain(&now, row);
        if found < bound {
            heap.push((found, Reverse(row)));
            continue;
        }
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        for &(other, weight) in &served[row as usize] {
            let now = &mut now[other as usize];
            *now = weight.max(*now);
        }
        kept.push(row);
    }
    Ok(kept)
}
