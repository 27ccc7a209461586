//! Kept rows of the batch at hand, searched as they come.

use super::columns::Columns;
use super::cover::HammingCover;
use super::group::{self, Group};
use super::index::{Index, Search};
use super::plan::{Chunk, Outlook, Plan};
use super::runs::Queries;
use crate::similarity::hamming::Fingerprints;
use crate::similarity::hamming::lanes::{self, Lanes, Task};
use rayon::prelude::*;
use std::ops::Range;

/// Rows that one thread searches for at a time.
const PIECE: usize = 512;

/// Kept rows at which to plan for the first time, and when to plan again, as a multiple of those then.
const FIRST_PLAN: usize = 512;
const GROWTH: usize = 4;

/// Kept rows and the way to search them, which is chosen anew as they become more.
pub(crate) struct Recent {
    rows: Vec<u32>,
    tables: Tables,
    plan_at: usize,
}

enum Tables {
    Scan(Columns),
    Index(Vec<Chunk>, Index),
}

impl Recent {
    pub(crate) fn new(words: usize) -> Self {
        Recent {
            rows: Vec::new(),
            tables: Tables::Scan(Columns::new(words)),
            plan_at: FIRST_PLAN,
        }
    }

    /// The kept rows, ascending.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Whether there is an index. If not, even the largest number of rows is best compared with one by one.
    pub(crate) fn is_indexed(&self) -> bool {
        matches!(self.tables, Tables::Index(..))
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        match &mut self.tables {
            Tables::Scan(columns) => columns.clear(),
            Tables::Index(_, index) => index.clear(),
        }
    }

    /// Adds kept rows, ascending and later than all there are.
    pub(crate) fn insert(&mut self, fingerprints: Fingerprints<'_>, rows: &[u32]) {
        self.rows.extend_from_slice(rows);
        match &mut self.tables {
            Tables::Scan(kept) => rows.iter().for_each(|&row| kept.push(fingerprints, row)),
            Tables::Index(_, index) => index.insert(fingerprints, rows),
        }
    }

    /// Chooses how to search for the rows `next` and those after them, if it is time to.
    pub(crate) fn plan(&mut self, fingerprints: Fingerprints<'_>, next: Range<usize>, threshold: u32) {
        if self.rows.len() < self.plan_at {
            return;
        }
        self.plan_at = self.rows.len() * GROWTH;
        let planned = self.rows.len() * 2;
        let plan = Outlook {
            fingerprints,
            kept: &self.rows,
            planned,
            next,
            threshold,
        }
        .plan();
        let words = fingerprints.words();
        let tables = match (plan, &self.tables) {
            (Plan::Scan, Tables::Scan(_)) => return,
            (Plan::Index(chunks), Tables::Index(old, _)) if chunks == *old => return,
            (Plan::Scan, _) => Tables::Scan(Columns::new(words)),
            (Plan::Index(chunks), _) => {
                let index = Index::new(&chunks);
                Tables::Index(chunks, index)
            }
        };
        self.tables = tables;
        let rows = std::mem::take(&mut self.rows);
        self.insert(fingerprints, &rows);
    }

    /// Writes the first kept row within `threshold` of `rows[i]`, if there is one, to `found[i]`.
    pub(crate) fn search(
        &self,
        fingerprints: Fingerprints<'_>,
        rows: &[u32],
        threshold: u32,
        found: &mut [HammingCover],
    ) {
        rows.par_chunks(PIECE)
            .zip(found.par_chunks_mut(PIECE))
            .for_each(|(rows, found)| {
                let queries = Queries {
                    fingerprints,
                    rows,
                    threshold,
                    found,
                };
                match &self.tables {
                    Tables::Scan(kept) => lanes::dispatch(Scan { kept, queries }),
                    Tables::Index(_, index) => lanes::dispatch(Search { index, queries }),
                }
            });
    }
}

/// Answers queries by comparing with each kept row.
struct Scan<'a> {
    kept: &'a Columns,
    queries: Queries<'a>,
}

impl Task for Scan<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Queries {
            fingerprints,
            mut rows,
            threshold,
            mut found,
        } = self.queries;
        let free_bits = group::free_bits(fingerprints.bits(), threshold);
        while !rows.is_empty() {
            let group = Group::first_of(fingerprints, rows, free_bits);
            let covers = self.kept.first_within_group::<L>(fingerprints, &group, threshold);
            let (done, rest) = found.split_at_mut(group.rows.len());
            done.copy_from_slice(&covers[..done.len()]);
            (rows, found) = (&rows[done.len()..], rest);
        }
    }
}
