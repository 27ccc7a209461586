//! The nearest neighbors of each point, exact: every pair of a group is compared.

use super::block::{Block, Panel, ROWS, panels};
use crate::selection::{Points, SelectError};
use crate::similarity::cosine::Embeddings;
use crate::similarity::hamming::Fingerprints;
use crate::watch::Watch;
use rayon::prelude::*;
use std::ops::Range;

/// Neighbors of a point, itself among them.
pub const NEIGHBORS: usize = 32;

/// A similarity of 1 as a whole number.
const SCALE: f32 = 1_048_576.0;

/// Points that are compared with all others at a time.
const COLUMNS: usize = 4096;

/// A neighbor of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// Its row.
    pub to: u32,
    /// The similarity as a whole number; 0 of points that have nothing in common.
    pub weight: u32,
    /// The Hamming distance or the cosine similarity.
    pub measured: f32,
}

impl Edge {
    /// An edge between points that differ in so many of all bits.
    pub(super) fn by_distance(to: usize, distance: u32, bits: u32) -> Self {
        Self {
            to: to as u32,
            weight: bits - distance,
            measured: distance as f32,
        }
    }

    /// An edge between points of this cosine similarity.
    pub(super) fn by_similarity(to: usize, similarity: f32) -> Self {
        Self {
            to: to as u32,
            weight: (similarity.max(0.0) * SCALE + 0.5) as u32,
            measured: similarity,
        }
    }

    /// Whether it is the nearer one, ties to the first in order.
    fn is_nearer(&self, other: &Self) -> bool {
        (self.weight, other.to) > (other.weight, self.to)
    }
}

/// The nearest edges so far, the nearest first.
#[derive(Debug, Default)]
struct Nearest(Vec<Edge>);

impl Nearest {
    fn offer(&mut self, edge: Edge) {
        if self.0.len() == NEIGHBORS {
            if !self.0.last().is_some_and(|last| edge.is_nearer(last)) {
                return;
            }
            self.0.pop();
        }
        let at = self.0.partition_point(|other| other.is_nearer(&edge));
        self.0.insert(at, edge);
    }
}

/// For each point its nearest neighbors in its group, the nearest first, ties to the first in order. A point is
/// among its own. Once `watch` is stopped, the result is [`SelectError::Stopped`].
pub fn graph(points: Points<'_>, starts: &[usize], watch: &Watch) -> Result<Vec<Vec<Edge>>, SelectError> {
    let groups = starts.par_windows(2).map(|group| group[0]..group[1]);
    let found: Vec<Vec<Nearest>> = groups
        .map(|rows| match points {
            Points::Fingerprints(fingerprints) => of_fingerprints(fingerprints, rows, watch),
            Points::Embeddings(embeddings) => of_embeddings(embeddings, rows, watch),
        })
        .collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().map(|nearest| nearest.0).collect())
}

fn of_fingerprints(
    fingerprints: Fingerprints<'_>,
    rows: Range<usize>,
    watch: &Watch,
) -> Result<Vec<Nearest>, SelectError> {
    let bits = fingerprints.bits();
    let nearest = |row: usize| {
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        let mut nearest = Nearest::default();
        for other in rows.clone() {
            let distance = fingerprints.distance(row, other);
            nearest.offer(Edge::by_distance(other, distance, bits));
        }
        Ok(nearest)
    };
    rows.clone().into_par_iter().map(nearest).collect()
}

fn of_embeddings(
    embeddings: Embeddings<'_>,
    rows: Range<usize>,
    watch: &Watch,
) -> Result<Vec<Nearest>, SelectError> {
    let numbers: Vec<u32> = rows.clone().map(|row| row as u32).collect();
    let mut found: Vec<Nearest> = Vec::new();
    found.resize_with(rows.len(), Nearest::default);
    for first in rows.clone().step_by(COLUMNS) {
        let columns = first..rows.end.min(first + COLUMNS);
        let panels: Vec<Panel> = panels(embeddings, columns);
        let blocks = numbers.par_chunks(ROWS).zip(found.par_chunks_mut(ROWS));
        blocks.try_for_each(|(rows, nearest)| {
            if watch.is_stopped() {
                return Err(SelectError::Stopped);
            }
            Block::new(embeddings, rows).each(&panels, |row, first, similarities| {
                for (other, &similarity) in (first as usize..).zip(similarities) {
                    nearest[row].offer(Edge::by_similarity(other, similarity));
                }
            });
            Ok(())
        })?;
    }
    Ok(found)
}
