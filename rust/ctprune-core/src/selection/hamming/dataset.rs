//! The rule over all rows as one sequence.
//!
//! Rows are decided on in batches, and within those in blocks. Each is first searched for, in parallel, among what was
//! kept before: in the settled tables for a whole batch at once, in the recent ones block by block. What is
//! found there comes before anything that the block itself could keep, so that only the rest is decided
//! on in order. What a batch keeps then settles.

use super::check_threshold;
use super::columns::Columns;
use super::cover::HammingCover;
use super::greedy::Greedy;
use super::plan::{Outlook, Plan};
use super::recent::Recent;
use super::runs::Queries;
use super::settled::{Settled, Sweep};
use crate::selection::{SelectError, Selection, check_count};
use crate::similarity::hamming::Fingerprints;
use crate::similarity::hamming::lanes;
use rayon::prelude::*;
use std::ops::{ControlFlow, Range};

/// Rows decided on at a time. More would leave more to the part that one thread does, fewer would make the
/// threads wait for each other more often.
pub const BLOCK: usize = 8192;

/// Rows of a batch. More would look up more at a time in each part of the settled tables, fewer keep the
/// recent ones in the cache.
const BATCH: usize = 32 * BLOCK;

/// Rows of a block and of a batch; tests take smaller ones.
#[derive(Clone, Copy)]
struct Sizes {
    block: usize,
    batch: usize,
}

/// Applies the greedy exemplar rule to all fingerprints as one sequence. Exact for every threshold.
///
/// `progress` is called with the number of rows decided on after each [`BLOCK`] rows; if it breaks, the
/// result is [`SelectError::Stopped`]. Runs on the current rayon pool; the result is the same on any.
///
/// ```
/// use ctprune_core::similarity::hamming::Fingerprints;
/// use ctprune_core::selection::hamming::dataset_exemplars;
/// use std::ops::ControlFlow;
/// let fingerprints = Fingerprints::new(1, &[0b0000, 0b0001, 0b1111, 0b0011])?;
/// let selection = dataset_exemplars(fingerprints, 1, &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!(selection.exemplar, [0, 0, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dataset_exemplars(
    fingerprints: Fingerprints<'_>,
    threshold: u32,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Selection, SelectError> {
    decide_all(
        fingerprints,
        threshold,
        Sizes {
            block: BLOCK,
            batch: BATCH,
        },
        progress,
    )
}

fn decide_all(
    fingerprints: Fingerprints<'_>,
    threshold: u32,
    sizes: Sizes,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Selection, SelectError> {
    check_count(fingerprints.len())?;
    check_threshold(fingerprints, threshold)?;
    let mut selection = Selection::open(fingerprints.len());
    let mut walk = Walk::new(fingerprints, threshold, sizes);
    while let Some(batch) = walk.next_batch() {
        walk.sweep(batch.clone());
        for first in batch.clone().step_by(sizes.block) {
            let end = batch.end.min(first + sizes.block);
            for (row, cover) in (first..end).zip(walk.decide(first..end)) {
                selection.exemplar[row] = cover.exemplar;
                selection.distance[row] = cover.distance;
            }
            if progress(end).is_break() {
                return Err(SelectError::Stopped);
            }
        }
        walk.settle();
    }
    Ok(selection)
}

/// The rule, halfway through the rows.
struct Walk<'a> {
    fingerprints: Fingerprints<'a>,
    threshold: u32,
    sizes: Sizes,
    /// All rows kept in earlier batches, ascending, unless there is no index.
    kept: Vec<u32>,
    settled: Settled,
    /// Number of kept rows at which to cut the settled tables anew.
    plan_at: usize,
    recent: Recent,
    /// What the block at hand keeps.
    fresh: Columns,
    /// The batch at hand, and what was found for it.
    batch: Range<usize>,
    covers: Vec<HammingCover>,
}

impl<'a> Walk<'a> {
    fn new(fingerprints: Fingerprints<'a>, threshold: u32, sizes: Sizes) -> Self {
        Walk {
            fingerprints,
            threshold,
            sizes,
            kept: Vec::new(),
            settled: Settled::new(&[]),
            plan_at: 0,
            recent: Recent::new(fingerprints.words()),
            fresh: Columns::new(fingerprints.words()),
            batch: 0..0,
            covers: Vec::new(),
        }
    }

    /// The rows to decide on next: a block until there is something to sweep, then a batch.
    fn next_batch(&mut self) -> Option<Range<usize>> {
        let one_by_one = self.settled.is_empty() && !self.recent.is_indexed();
        let len = if one_by_one {
            self.sizes.block
        } else {
            self.sizes.batch
        };
        let start = self.batch.end;
        self.batch = start..self.fingerprints.len().min(start + len);
        (!self.batch.is_empty()).then(|| self.batch.clone())
    }

    /// Searches for a batch in the settled tables.
    fn sweep(&mut self, batch: Range<usize>) {
        self.covers.clear();
        self.covers.resize(batch.len(), HammingCover::NONE);
        if self.settled.is_empty() {
            return;
        }
        let Walk {
            fingerprints,
            threshold,
            ref settled,
            ..
        } = *self;
        let piece = batch
            .len()
            .div_ceil(rayon::current_num_threads())
            .max(self.sizes.block);
        self.covers
            .par_chunks_mut(piece)
            .enumerate()
            .for_each(|(at, found)| {
                let first = batch.start + at * piece;
                let rows: Vec<u32> = (first..first + found.len()).map(|row| row as u32).collect();
                let queries = Queries {
                    fingerprints,
                    rows: &rows,
                    threshold,
                    found,
                };
                lanes::dispatch(Sweep { settled, queries });
            });
    }

    /// Decides on a block of the batch, all rows before being decided on.
    fn decide(&mut self, block: Range<usize>) -> &[HammingCover] {
        let Walk {
            fingerprints,
            threshold,
            ..
        } = *self;
        self.recent.plan(fingerprints, block.clone(), threshold);
        let covers = &mut self.covers[block.start - self.batch.start..block.end - self.batch.start];
        let cover_of = |row: u32| row as usize - block.start;
        let mut open: Vec<u32> = (block.start as u32..block.end as u32).collect();
        open.retain(|&row| covers[cover_of(row)].is_none());
        let mut found = vec![HammingCover::NONE; open.len()];
        self.recent.search(fingerprints, &open, threshold, &mut found);
        open.iter()
            .zip(found)
            .for_each(|(&row, found)| covers[cover_of(row)] = found);
        open.retain(|&row| covers[cover_of(row)].is_none());
        let (rows, kept, first) = (&open, &mut self.fresh, block.start);
        lanes::dispatch(Greedy {
            fingerprints,
            rows,
            first,
            threshold,
            kept,
            covers,
        });
        self.recent.insert(fingerprints, self.fresh.rows());
        covers
    }

    /// Moves what the batch kept to the settled tables, if that is how to search and there is more to come.
    fn settle(&mut self) {
        let rows = self.kept.len() + self.recent.rows().len();
        if !self.recent.is_indexed() || self.batch.end == self.fingerprints.len() {
            return;
        }
        let settled_before = self.kept.len();
        self.kept.extend_from_slice(self.recent.rows());
        let cut_anew = rows >= self.plan_at && self.cut_settled();
        if self.settled.chunks().next().is_none() {
            // To compare with all is better so far: leave the recent ones where they are.
            self.kept.clear();
            return;
        }
        let added = if cut_anew {
            &self.kept
        } else {
            &self.kept[settled_before..]
        };
        self.settled.merge(self.fingerprints, added);
        self.recent.clear();
    }

    /// Plans for the kept rows to come; replaces the settled tables by empty ones if there is a better cut.
    fn cut_settled(&mut self) -> bool {
        let Walk {
            fingerprints,
            threshold,
            ..
        } = *self;
        self.plan_at = self.kept.len() * 2;
        let planned = self.kept.len() * 3 / 2;
        let next = self.batch.clone();
        match (Outlook {
            fingerprints,
            kept: &self.kept,
            planned,
            next,
            threshold,
        })
        .plan()
        {
            Plan::Index(chunks) if !self.settled.chunks().eq(&chunks) => {
                self.settled = Settled::new(&chunks);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::hamming::naive;

    /// Walks of 100 rows with up to 3 flips a step; a quarter of them goes along an earlier one.
    fn walks(rows: usize, words: usize) -> Vec<u64> {
        let mut state = 7_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33 ^ state << 20
        };
        let mut data: Vec<u64> = Vec::with_capacity(rows * words);
        for row in 0..rows {
            for _ in 0..words {
                let at = data.len();
                let again = row >= 400 && (row / 100).is_multiple_of(4);
                let before = if again {
                    data[at - 400 * words]
                } else {
                    data.get(at.wrapping_sub(words)).copied().unwrap_or(0)
                };
                let start = row.is_multiple_of(100) && !again;
                let flips = (0..random() % 4).fold(0, |flips, _| flips ^ 1 << (random() % 64));
                data.push(if start { random() } else { before ^ flips });
            }
        }
        data
    }

    #[test]
    fn many_small_batches_settle_and_are_swept() {
        for (words, thresholds) in [(1, &[0, 2, 4, 6, 8, 11, 15][..]), (3, &[1, 9, 20]), (4, &[2, 24])] {
            let data = walks(5000, words);
            let fingerprints = Fingerprints::new(words, &data).unwrap();
            for &threshold in thresholds {
                let expected = naive::dataset_exemplars(fingerprints, threshold).unwrap();
                for (block, batch) in [(64, 256), (100, 1050), (700, 700)] {
                    let sizes = Sizes { block, batch };
                    let found =
                        decide_all(fingerprints, threshold, sizes, &mut |_| ControlFlow::Continue(()));
                    assert_eq!(
                        found.unwrap(),
                        expected,
                        "{words} words, threshold {threshold}, block {block}, batch {batch}"
                    );
                }
            }
        }
    }
}
