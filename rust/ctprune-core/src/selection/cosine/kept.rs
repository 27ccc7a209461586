//! How many rows the greedy exemplar rule keeps at every angle of the grid, in one walk: each pair is compared once.
//!
//! Of each row a mask says at which angles it is kept, of each pair from which angle on it is similar. A row is dropped
//! at the angles at which a row before it is both.

use super::keep::{angles, threshold_of};
use crate::selection::SelectError;
use crate::selection::kmeans::Vectors;
use crate::similarity::cosine::estimate::{Directions, error, estimates};
use crate::similarity::cosine::{Embeddings, similarity};
use crate::watch::Watch;
use rayon::prelude::*;

/// Rows of a block.
const ROWS: usize = 32;

/// Rows that a thread holds against a block before another may take over.
const RUN: usize = 768;

/// Parts of the range of similarities in which angles are looked up.
const PARTS: usize = 4096;

/// A bit for each angle.
type Mask = [u64; 3];

const NO: Mask = [0; 3];

fn or(a: Mask, b: Mask) -> Mask {
    std::array::from_fn(|at| a[at] | b[at])
}

/// The angles of the grid, to be found by similarity.
struct Grid {
    /// The cosines, descending.
    thresholds: Vec<f64>,
    /// For each part of the similarities from 0 to 1 the first angle that may be meant.
    first: Vec<u16>,
    /// For each angle, and for none, the bits of all from that one on.
    from: Vec<Mask>,
}

impl Grid {
    fn new() -> Self {
        let thresholds: Vec<f64> = angles().into_iter().map(threshold_of).collect();
        let first = (0..=PARTS + 1).map(|part| {
            let most = part as f64 / PARTS as f64;
            thresholds.partition_point(|&threshold| threshold > most) as u16
        });
        let bit = |from: usize| {
            let mut mask = NO;
            for at in from..thresholds.len() {
                mask[at / 64] |= 1 << (at % 64);
            }
            mask
        };
        Self {
            first: first.collect(),
            from: (0..=thresholds.len()).map(bit).collect(),
            thresholds,
        }
    }

    /// The smallest angle at which rows of this similarity are similar; one past the last where there is none.
    fn angle(&self, similarity: f64) -> usize {
        if similarity < 0.0 {
            return self.thresholds.len();
        }
        let part = ((similarity * PARTS as f64) as usize).min(PARTS);
        let (low, high) = (self.first[part + 1] as usize, self.first[part] as usize);
        low + self.thresholds[low..high].partition_point(|&threshold| threshold > similarity)
    }
}

/// How many of these rows are kept at each of [`angles`].
pub(in crate::selection) fn kept_by_angle(
    embeddings: Embeddings<'_>,
    rows: &[u32],
    watch: &Watch,
) -> Result<Vec<usize>, SelectError> {
    let (grid, error) = (Grid::new(), f64::from(error(embeddings.features())));
    let mut directions = Directions::new(embeddings.features());
    let mut kept: Vec<Mask> = Vec::with_capacity(rows.len());
    let mut counts = vec![0; grid.thresholds.len()];
    let all = grid.from[0];
    let angle = |row: usize, other: usize, estimate: f32| {
        let estimate = f64::from(estimate);
        let (low, high) = (grid.angle(estimate + error), grid.angle(estimate - error));
        if low == high {
            low
        } else {
            let exact = similarity(embeddings, rows[row] as usize, rows[other] as usize);
            grid.angle(f64::from(exact))
        }
    };
    for block in rows.chunks(ROWS) {
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        let first = kept.len();
        for &row in block {
            directions.push(|numbers| embeddings.unit(row as usize, numbers));
        }
        let own: Vec<u32> = (first as u32..directions.len() as u32).collect();
        // The angles at which a row before the block covers each row of it.
        let search = |run: usize| {
            let mut covered = vec![NO; block.len()];
            let columns: Vec<u32> = (run * RUN..first.min(run * RUN + RUN))
                .map(|at| at as u32)
                .collect();
            let mut near = Vec::new();
            for columns in columns.chunks(RUN / 8) {
                estimates(&directions, &own, &directions, columns, &mut near);
                for ((&row, covered), near) in
                    own.iter().zip(&mut covered).zip(near.chunks_exact(columns.len()))
                {
                    for (&other, &estimate) in columns.iter().zip(near) {
                        let from = grid.from[angle(row as usize, other as usize, estimate)];
                        for ((covered, kept), from) in covered.iter_mut().zip(kept[other as usize]).zip(from)
                        {
                            *covered |= kept & from;
                        }
                    }
                }
            }
            covered
        };
        let both = |a: Vec<Mask>, b: Vec<Mask>| a.into_iter().zip(b).map(|(a, b)| or(a, b)).collect();
        let runs = (0..first.div_ceil(RUN)).into_par_iter();
        let covered: Vec<Mask> = runs.map(search).reduce(|| vec![NO; block.len()], both);
        let mut among = Vec::new();
        estimates(&directions, &own, &directions, &own, &mut among);
        for (at, mut covered) in covered.into_iter().enumerate() {
            for before in 0..at {
                let from = grid.from[angle(first + at, first + before, among[at * own.len() + before])];
                let kept = kept[first + before];
                covered = or(covered, std::array::from_fn(|word| kept[word] & from[word]));
            }
            let own: Mask = std::array::from_fn(|word| all[word] & !covered[word]);
            for (index, count) in counts.iter_mut().enumerate() {
                *count += (own[index / 64] >> (index % 64) & 1) as usize;
            }
            kept.push(own);
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::super::super::kmeans::tests::clumps;
    use super::super::{Reach, naive};
    use super::*;

    #[test]
    fn as_many_are_kept_at_each_angle_as_the_rule_keeps() {
        for (rows, features) in [(1, 3), (40, 2), (150, 6), (90, 50)] {
            let halves = clumps(rows, features, 5 + rows as u32);
            let embeddings = Embeddings::new(features, &halves).unwrap();
            let all: Vec<u32> = (0..rows as u32).collect();
            let found = kept_by_angle(embeddings, &all, &Watch::default()).unwrap();
            let kept = angles().into_iter().map(|degrees| {
                let of = naive::exemplars(embeddings, &[0, rows], threshold_of(degrees), Reach::ANY);
                of.unwrap().kept()
            });
            assert_eq!(found, kept.collect::<Vec<_>>(), "{rows} × {features}");
        }
    }

    #[test]
    fn an_angle_is_found_by_its_similarity() {
        let grid = Grid::new();
        let mut similarities: Vec<f64> = (0..20_000).map(|at| f64::from(at) / 19_000.0 - 0.02).collect();
        similarities.extend(&grid.thresholds);
        for similarity in similarities {
            let expected = grid
                .thresholds
                .iter()
                .position(|&threshold| similarity >= threshold);
            assert_eq!(grid.angle(similarity), expected.unwrap_or(grid.thresholds.len()));
        }
    }
}
