//! Exact search for the first similar kept row by chunks of bits, in tables that take new rows at any time.
//!
//! Norouzi, Punjani, Fleet: Fast exact search in Hamming space with multi-index hashing (IEEE TPAMI 36, 2014),
//! with look-ups shared by runs of rows that agree on a chunk, as [`super::group`] explains.

use super::plan::Chunk;
use super::runs::Queries;
use super::table::Table;
use crate::similarity::hamming::Fingerprints;
use crate::similarity::hamming::lanes::{Lanes, Task};
use rayon::prelude::*;

/// Tables of kept rows, one per chunk.
pub(crate) struct Index {
    tables: Vec<Table>,
}

impl Index {
    pub(crate) fn new(chunks: &[Chunk]) -> Self {
        Index {
            tables: chunks.iter().map(|&chunk| Table::new(chunk)).collect(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.tables.iter_mut().for_each(Table::clear);
    }

    /// Adds kept rows, ascending and later than all there are.
    pub(crate) fn insert(&mut self, fingerprints: Fingerprints<'_>, rows: &[u32]) {
        self.tables.par_iter_mut().for_each(|table| {
            let word = table.chunk().word;
            for &row in rows {
                table.insert(fingerprints.row(row as usize)[word], row);
            }
        });
    }
}

/// Answers queries from an index.
pub(crate) struct Search<'a> {
    pub(crate) index: &'a Index,
    pub(crate) queries: Queries<'a>,
}

impl Task for Search<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let mut runs = Vec::with_capacity(self.queries.rows.len());
        for table in &self.index.tables {
            let limit = table.chunk().limit;
            self.queries.collect_runs(table.chunk(), &mut runs);
            for (at, run) in runs.iter().enumerate() {
                // Ask for the next run's buckets while this one's are compared.
                if let Some(run) = runs.get(at + 1) {
                    table
                        .flips()
                        .iter()
                        .for_each(|flip| table.prefetch(run.value ^ flip));
                }
                for flip in table.flips() {
                    let (words, rows) = table.bucket(run.value ^ flip);
                    self.queries.compare::<L>(run, limit, words, rows);
                }
            }
        }
    }
}
