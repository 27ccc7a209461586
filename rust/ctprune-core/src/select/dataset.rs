//! The rule over all rows as one sequence.
//!
//! Rows are decided on in blocks. The rows of a block are first searched for, in parallel, among all kept rows of
//! earlier blocks. What is found there comes before anything that the block itself could keep. The few
//! thousand that remain are decided on in order, and what they keep is added to the index.

use super::columns::Columns;
use super::greedy::Greedy;
use super::group::{self, Group};
use super::index::{Index, Search};
use super::plan::{Outlook, Plan};
use super::{Cover, SelectError, Selection, check_radius, check_rows};
use crate::hamming::Fingerprints;
use crate::hamming::lanes::{self, Lanes, Task};
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Rows decided on at a time. More would leave more to the part that one thread does, fewer would make the
/// threads wait for each other more often.
pub const BLOCK: usize = 8192;

/// Rows that one thread searches for at a time.
const PIECE: usize = 512;

/// Kept rows at which to think again about the plan, as a multiple of those at the last time.
const GROWTH: usize = 4;

/// Applies the greedy exemplar rule to all fingerprints as one sequence. Exact for every radius.
///
/// `progress` is called with the number of rows decided on after each [`BLOCK`] rows; if it breaks, the
/// result is [`SelectError::Cancelled`]. Runs on the current rayon pool; the result is the same on any.
///
/// ```
/// use ctprune_core::hamming::Fingerprints;
/// use ctprune_core::select::leader_in_dataset;
/// use std::ops::ControlFlow;
/// let fingerprints = Fingerprints::new(1, &[0b0000, 0b0001, 0b1111, 0b0011])?;
/// let selection = leader_in_dataset(fingerprints, 1, &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!(selection.exemplar, [0, 0, 2, 3]);
/// # Ok::<(), ctprune_core::select::SelectError>(())
/// ```
pub fn leader_in_dataset(
    fingerprints: Fingerprints<'_>,
    radius: u32,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Selection, SelectError> {
    check_rows(fingerprints.len())?;
    check_radius(fingerprints, radius)?;
    let mut selection = Selection::open(fingerprints.len());
    let mut leader = Leader::new(fingerprints, radius);
    let mut first = 0;
    while first < fingerprints.len() {
        let end = fingerprints.len().min(first + BLOCK);
        for (row, cover) in (first..end).zip(leader.decide(first, end)) {
            selection.exemplar[row] = cover.exemplar;
            selection.distance[row] = cover.distance;
        }
        first = end;
        if progress(end).is_break() {
            return Err(SelectError::Cancelled);
        }
    }
    Ok(selection)
}

/// How earlier kept rows are searched.
enum Earlier {
    Scan(Columns),
    Index(Vec<super::plan::Chunk>, Index),
}

/// The rule, halfway through the rows.
struct Leader<'a> {
    fingerprints: Fingerprints<'a>,
    radius: u32,
    /// All kept rows of earlier blocks, ascending.
    kept: Vec<u32>,
    earlier: Earlier,
    /// Number of kept rows at which to plan again.
    plan_at: usize,
    /// Kept rows of the block at hand.
    fresh: Columns,
    covers: Vec<Cover>,
    open: Vec<u32>,
}

impl<'a> Leader<'a> {
    fn new(fingerprints: Fingerprints<'a>, radius: u32) -> Self {
        Leader {
            fingerprints,
            radius,
            kept: Vec::new(),
            earlier: Earlier::Scan(Columns::new(fingerprints.words())),
            plan_at: 512,
            fresh: Columns::new(fingerprints.words()),
            covers: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Decides on the rows from `first` to before `end`, all before being decided on.
    fn decide(&mut self, first: usize, end: usize) -> &[Cover] {
        if self.kept.len() >= self.plan_at {
            self.plan(first..end);
        }
        self.covers.clear();
        self.covers.resize(end - first, Cover::NONE);
        self.search_earlier(first);
        let is_open = |&row: &u32| self.covers[row as usize - first].is_none();
        self.open.clear();
        self.open.extend((first as u32..end as u32).filter(is_open));
        lanes::dispatch(Greedy {
            fingerprints: self.fingerprints,
            rows: &self.open,
            first,
            radius: self.radius,
            kept: &mut self.fresh,
            covers: &mut self.covers,
        });
        self.add_fresh();
        &self.covers
    }

    /// Chooses how to search from here on.
    fn plan(&mut self, next: std::ops::Range<usize>) {
        let planned = self.kept.len() * 2;
        self.plan_at = self.kept.len() * GROWTH;
        let fingerprints = self.fingerprints;
        let plan = Outlook {
            fingerprints,
            kept: &self.kept,
            planned,
            next,
            radius: self.radius,
        }
        .plan();
        match (plan, &self.earlier) {
            (Plan::Scan, Earlier::Scan(_)) => {}
            (Plan::Scan, Earlier::Index(..)) => {
                let mut columns = Columns::new(fingerprints.words());
                self.kept.iter().for_each(|&row| columns.push(fingerprints, row));
                self.earlier = Earlier::Scan(columns);
            }
            (Plan::Index(chunks), Earlier::Index(old, _)) if chunks == *old => {}
            (Plan::Index(chunks), _) => {
                // Drop the old tables before there are new ones.
                self.earlier = Earlier::Index(Vec::new(), Index::new(&[]));
                let mut index = Index::new(&chunks);
                index.insert(fingerprints, &self.kept);
                self.earlier = Earlier::Index(chunks, index);
            }
        }
    }

    fn search_earlier(&mut self, first: usize) {
        let Leader {
            fingerprints,
            radius,
            ref earlier,
            ref mut covers,
            ..
        } = *self;
        covers
            .par_chunks_mut(PIECE)
            .enumerate()
            .for_each(|(piece, covers)| {
                let first = first + piece * PIECE;
                match earlier {
                    Earlier::Scan(kept) => lanes::dispatch(Scan {
                        fingerprints,
                        kept,
                        first,
                        radius,
                        covers,
                    }),
                    Earlier::Index(_, index) => lanes::dispatch(Search {
                        fingerprints,
                        index,
                        first,
                        radius,
                        covers,
                    }),
                }
            });
    }

    fn add_fresh(&mut self) {
        let rows = self.fresh.rows();
        self.kept.extend_from_slice(rows);
        match &mut self.earlier {
            Earlier::Scan(kept) => rows.iter().for_each(|&row| kept.push(self.fingerprints, row)),
            Earlier::Index(_, index) => index.insert(self.fingerprints, rows),
        }
    }
}

/// [`Search`] without an index.
struct Scan<'a> {
    fingerprints: Fingerprints<'a>,
    kept: &'a Columns,
    first: usize,
    radius: u32,
    covers: &'a mut [Cover],
}

impl Task for Scan<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let free_bits = group::free_bits(self.fingerprints.bits(), self.radius);
        let rows: Vec<u32> = (0..self.covers.len())
            .map(|at| (self.first + at) as u32)
            .collect();
        let mut done = 0;
        while done < rows.len() {
            let group = Group::first_of(self.fingerprints, &rows[done..], free_bits);
            let found = self
                .kept
                .first_within_group::<L>(self.fingerprints, &group, self.radius);
            let end = done + group.rows.len();
            for (cover, found) in self.covers[done..end].iter_mut().zip(found) {
                *cover = found;
            }
            done = end;
        }
    }
}
