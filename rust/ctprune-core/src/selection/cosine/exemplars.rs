//! The greedy exemplar rule, a block of rows at a time.
//!
//! A block is compared with all that were kept before it in one matrix product, in panels and on all threads, then with
//! itself. The first kept row that is similar counts, so that the order of the work does not matter.

use super::{CosineSelection, check};
use crate::selection::{Reach, SelectError};
use crate::similarity::cosine::Embeddings;
use crate::similarity::cosine::block::{Block, Panel, WIDE};
use crate::watch::Watch;
use rayon::prelude::*;

/// Rows of a block.
const ROWS: usize = 32;

/// Panels that a thread searches one after the other before another may take over.
const RUN: usize = 16;

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
            embeddings,
            threshold,
            reach,
            kept: Vec::new(),
            covers: Vec::new(),
        };
        let rows = group[0]..group[1];
        for first in rows.clone().step_by(ROWS) {
            if watch.is_stopped() {
                return Err(SelectError::Stopped);
            }
            walk.decide(&Block::new(embeddings, first, rows.end.min(first + ROWS)));
        }
        Ok(walk.covers)
    });
    let covers: Vec<Vec<Option<CosineCover>>> = groups.collect::<Result<_, _>>()?;
    for (row, cover) in covers.into_iter().flatten().enumerate() {
        if let Some(CosineCover { exemplar, similarity }) = cover {
            (selection.exemplar[row], selection.similarity[row]) = (exemplar, similarity);
        }
    }
    Ok(selection)
}

/// What covers a row.
#[derive(Clone, Copy, Debug)]
struct CosineCover {
    exemplar: u32,
    similarity: f32,
}

/// The rule, halfway through a group.
struct Walk<'a> {
    embeddings: Embeddings<'a>,
    threshold: f64,
    reach: Reach<'a>,
    /// Kept rows in order.
    kept: Vec<Panel>,
    /// Of each row decided on; `None` if it was kept.
    covers: Vec<Option<CosineCover>>,
}

impl Walk<'_> {
    fn decide(&mut self, block: &Block) {
        let mut covers = self.covers_by_earlier(block);
        let open: Vec<usize> = (0..block.len()).filter(|&row| covers[row].is_none()).collect();
        let mut similarities = Vec::new();
        for piece in open.chunks(WIDE) {
            // What may be kept of the block, as columns.
            let mut panel = Panel::new(self.embeddings.features());
            for &row in piece {
                panel.push(self.embeddings, (block.first() + row) as u32);
            }
            block.similarities(&panel, &mut similarities);
            for (column, &row) in piece.iter().enumerate() {
                if covers[row].is_some() {
                    continue;
                }
                let exemplar = (block.first() + row) as u32;
                self.keep(exemplar);
                for later in row + 1..block.len() {
                    let similarity = similarities[later][column];
                    let is_similar = self.is_similar(block.first() + later, exemplar, similarity);
                    if covers[later].is_none() && is_similar {
                        covers[later] = Some(CosineCover { exemplar, similarity });
                    }
                }
            }
        }
        self.covers.append(&mut covers);
    }

    /// The first row kept before the block that is similar, for each row of the block.
    fn covers_by_earlier(&self, block: &Block) -> Vec<Option<CosineCover>> {
        let search = |panels: &[Panel]| {
            let mut covers = vec![None; block.len()];
            let mut similarities = Vec::new();
            for panel in panels {
                block.similarities(panel, &mut similarities);
                for (row, (cover, similarities)) in covers.iter_mut().zip(&similarities).enumerate() {
                    let mut columns = panel.rows().iter().zip(similarities);
                    let found = columns.find(|&(&exemplar, &similarity)| {
                        self.is_similar(block.first() + row, exemplar, similarity)
                    });
                    let found = found.map(|(&exemplar, &similarity)| CosineCover { exemplar, similarity });
                    *cover = cover.or(found);
                }
                if covers.iter().all(Option::is_some) {
                    break;
                }
            }
            covers
        };
        // Runs of panels are in order, so the left one of two answers is the earlier exemplar.
        let earlier = |left: Vec<Option<CosineCover>>, right: Vec<Option<CosineCover>>| {
            left.into_iter().zip(right).map(|(l, r)| l.or(r)).collect()
        };
        let none = || vec![None; block.len()];
        self.kept.par_chunks(RUN).map(search).reduce(none, earlier)
    }

    fn is_similar(&self, row: usize, exemplar: u32, similarity: f32) -> bool {
        f64::from(similarity) >= self.threshold && self.reach.allows(row, exemplar as usize)
    }

    fn keep(&mut self, row: u32) {
        if self.kept.last().is_none_or(Panel::is_full) {
            self.kept.push(Panel::new(self.embeddings.features()));
        }
        if let Some(panel) = self.kept.last_mut() {
            panel.push(self.embeddings, row);
        }
    }
}
