//! The greedy exemplar rule, a block of rows at a time.
//!
//! A block is compared with all that were kept before it in matrix products, on all threads, then with itself. The first
//! kept row that is similar counts, so that the order of the work does not matter. Estimates decide what they can; the
//! exact similarity is taken only near the threshold, and of what is in the answer.

use super::{CosineSelection, check};
use crate::selection::kmeans::Vectors;
use crate::selection::{Reach, SelectError};
use crate::similarity::cosine::estimate::{Directions, error, estimates};
use crate::similarity::cosine::{Embeddings, similarity};
use crate::watch::Watch;
use rayon::prelude::*;
use std::ops::Range;

/// Rows of a block.
const ROWS: usize = 32;

/// Kept rows that a thread searches one after the other before another may take over.
const RUN: usize = 192;

/// Kept rows that are held against a block at a time: no more than are needed to find the first.
const COLUMNS: usize = 24;

/// Applies the greedy exemplar rule to each group of rows by itself: a row is dropped when its cosine similarity to
/// a row kept before it, which `reach` allows, is at least `threshold`, which is from −1 to 1.
///
/// Group `g` is the rows from `starts[g]` to before `starts[g + 1]`; one group is the whole data set. Once
/// `watch` is stopped, the result is [`SelectError::Stopped`].
pub fn exemplars(
    embeddings: Embeddings<'_>,
    starts: &[usize],
    threshold: f64,
    reach: Reach<'_>,
    watch: &Watch,
) -> Result<CosineSelection, SelectError> {
    check(embeddings, starts, threshold, reach)?;
    let mut selection = CosineSelection::all(embeddings.len());
    let groups = starts.par_windows(2).map(|group| {
        let mut walk = Walk {
            near: Near {
                embeddings,
                threshold,
                reach,
                error: f64::from(error(embeddings.features())),
            },
            kept: Vec::new(),
            directions: Directions::new(embeddings.features()),
            exemplars: Vec::new(),
        };
        let rows = group[0]..group[1];
        for first in rows.clone().step_by(ROWS) {
            if watch.is_stopped() {
                return Err(SelectError::Stopped);
            }
            walk.decide(first..rows.end.min(first + ROWS));
        }
        Ok(walk.exemplars)
    });
    let exemplars: Vec<Vec<Option<u32>>> = groups.collect::<Result<_, _>>()?;
    let exemplars: Vec<Option<u32>> = exemplars.into_iter().flatten().collect();
    let rows = selection.exemplar.par_iter_mut().zip(&mut selection.similarity);
    rows.zip(&exemplars)
        .enumerate()
        .for_each(|(row, (found, exemplar))| {
            if let Some(exemplar) = *exemplar {
                (*found.0, *found.1) = (exemplar, similarity(embeddings, row, exemplar as usize));
            }
        });
    Ok(selection)
}

/// What is similar.
struct Near<'a> {
    embeddings: Embeddings<'a>,
    threshold: f64,
    reach: Reach<'a>,
    error: f64,
}

impl Near<'_> {
    fn is_similar(&self, row: usize, exemplar: u32, estimate: f32) -> bool {
        let estimate = f64::from(estimate);
        if estimate + self.error < self.threshold || !self.reach.allows(row, exemplar as usize) {
            return false;
        }
        estimate - self.error >= self.threshold
            || f64::from(similarity(self.embeddings, row, exemplar as usize)) >= self.threshold
    }
}

/// The rule, halfway through a group.
struct Walk<'a> {
    near: Near<'a>,
    /// Kept rows in order, and their directions.
    kept: Vec<u32>,
    directions: Directions,
    /// Of each row decided on; `None` if it was kept.
    exemplars: Vec<Option<u32>>,
}

impl Walk<'_> {
    fn decide(&mut self, rows: Range<usize>) {
        let mut block = Directions::new(self.near.embeddings.features());
        for row in rows.clone() {
            block.push(|numbers| self.near.embeddings.unit(row, numbers));
        }
        let mut exemplars = self.earlier(rows.start, &block);
        let open: Vec<u32> = (0..)
            .zip(&exemplars)
            .filter_map(|(at, found)| found.is_none().then_some(at))
            .collect();
        let mut among = Vec::new();
        estimates(&block, &open, &block, &open, &mut among);
        for (column, &at) in open.iter().enumerate() {
            if exemplars[at as usize].is_some() {
                continue;
            }
            let exemplar = rows.start as u32 + at;
            self.kept.push(exemplar);
            self.directions.push_from(&block, at as usize);
            for (line, &later) in open.iter().enumerate().skip(column + 1) {
                let row = rows.start + later as usize;
                let found = &mut exemplars[later as usize];
                let estimate = among[line * open.len() + column];
                if found.is_none() && self.near.is_similar(row, exemplar, estimate) {
                    *found = Some(exemplar);
                }
            }
        }
        self.exemplars.append(&mut exemplars);
    }

    /// The first row kept before the block that is similar, for each row of the block.
    fn earlier(&self, first: usize, block: &Directions) -> Vec<Option<u32>> {
        let search = |run: Range<usize>| {
            let mut found = vec![None; block.len()];
            let mut open: Vec<u32> = (0..block.len() as u32).collect();
            let mut near = Vec::new();
            for start in run.clone().step_by(COLUMNS) {
                let columns: Vec<u32> = (start as u32..run.end.min(start + COLUMNS) as u32).collect();
                estimates(block, &open, &self.directions, &columns, &mut near);
                for (&at, near) in open.iter().zip(near.chunks_exact(columns.len())) {
                    let mut kept = self.kept[start..].iter().zip(near);
                    let similar = kept.find(|&(&exemplar, &estimate)| {
                        self.near.is_similar(first + at as usize, exemplar, estimate)
                    });
                    found[at as usize] = similar.map(|(&exemplar, _)| exemplar);
                }
                open.retain(|&at| found[at as usize].is_none());
                if open.is_empty() {
                    break;
                }
            }
            found
        };
        // Runs are in order, so the left one of two answers is the earlier exemplar.
        let earlier = |left: Vec<Option<u32>>, right: Vec<Option<u32>>| {
            left.into_iter().zip(right).map(|(l, r)| l.or(r)).collect()
        };
        let kept = self.kept.len();
        let runs = (0..kept.div_ceil(RUN)).into_par_iter();
        let runs = runs.map(|run| run * RUN..kept.min(run * RUN + RUN));
        runs.map(search).reduce(|| vec![None; block.len()], earlier)
    }
}
