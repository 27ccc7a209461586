//! Exact search for the first similar kept row by chunks of bits (multi-index hashing).
//!
//! Norouzi, Punjani, Fleet: Fast exact search in Hamming space with multi-index hashing (IEEE TPAMI 36, 2014),
//! with look-ups shared by runs of rows that agree on a chunk, as [`super::group`] explains.

use super::Cover;
use super::group;
use super::plan::Chunk;
use super::table::Table;
use crate::hamming::lanes::{self, Lanes, Task};
use crate::hamming::{self, Fingerprints};
use rayon::prelude::*;

/// Tables of all kept rows, one per chunk.
pub(crate) struct Index {
    tables: Vec<Table>,
}

impl Index {
    pub(crate) fn new(chunks: &[Chunk]) -> Self {
        Index {
            tables: chunks.iter().map(|&chunk| Table::new(chunk)).collect(),
        }
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

/// Finds the first kept row within `radius` for the rows from `first` on, one for each of `covers`.
pub(crate) struct Search<'a> {
    pub(crate) fingerprints: Fingerprints<'a>,
    pub(crate) index: &'a Index,
    pub(crate) first: usize,
    pub(crate) radius: u32,
    pub(crate) covers: &'a mut [Cover],
}

impl Task for Search<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let mut runs = Vec::with_capacity(self.covers.len());
        for table in &self.index.tables {
            self.collect_runs(table.chunk(), &mut runs);
            // Heads two runs ahead, buckets one run ahead: then neither is waited for.
            for (at, run) in runs.iter().enumerate() {
                if let Some(run) = runs.get(at + 2) {
                    table
                        .flips()
                        .iter()
                        .for_each(|flip| table.prefetch_head(run.value ^ flip));
                }
                if let Some(run) = runs.get(at + 1) {
                    table
                        .flips()
                        .iter()
                        .for_each(|flip| table.prefetch_words(run.value ^ flip));
                }
                for flip in table.flips() {
                    self.look_up::<L>(table, run, run.value ^ flip);
                }
            }
        }
    }
}

/// Consecutive rows that have the same value of a chunk.
struct Run {
    value: u32,
    start: u32,
    end: u32,
    /// The chunk's word of the first of them.
    anchor: u64,
    /// The bits of that word on which all agree.
    keep: u64,
}

impl Search<'_> {
    #[inline(always)]
    fn collect_runs(&self, chunk: &Chunk, runs: &mut Vec<Run>) {
        let free_bits = group::free_bits(u64::BITS - chunk.width, chunk.limit);
        runs.clear();
        for at in 0..self.covers.len() {
            let word = self.fingerprints.row(self.first + at)[chunk.word];
            let value = chunk.value(word);
            if let Some(run) = runs.last_mut() {
                let keep = run.keep & !(run.anchor ^ word);
                if run.value == value && keep.count_zeros() <= free_bits {
                    run.keep = keep;
                    run.end += 1;
                    continue;
                }
            }
            let at = at as u32;
            runs.push(Run {
                value,
                start: at,
                end: at + 1,
                anchor: word,
                keep: u64::MAX,
            });
        }
    }

    #[inline(always)]
    fn look_up<L: Lanes>(&mut self, table: &Table, run: &Run, value: u32) {
        let (words, rows) = table.bucket(value);
        lanes::within::<L>(words, run.anchor, run.keep, table.chunk().limit, |at| {
            let mut open = false;
            for member in run.start as usize..run.end as usize {
                // Rows ascend within a bucket: what has an earlier cover finds no better one here.
                if self.covers[member].exemplar > rows[at] {
                    let cover = self.cover_by(words[at], rows[at], member);
                    match cover {
                        Some(cover) => self.covers[member] = cover,
                        None => open = true,
                    }
                }
            }
            open
        });
    }

    #[inline(always)]
    fn cover_by(&self, word: u64, row: u32, member: usize) -> Option<Cover> {
        let query = self.fingerprints.row(self.first + member);
        // A fingerprint of one word is in the bucket; a longer one is looked up.
        let distance = match query {
            [query] => (query ^ word).count_ones(),
            _ => hamming::distance(query, self.fingerprints.row(row as usize)),
        };
        (distance <= self.radius).then_some(Cover {
            exemplar: row,
            distance: distance as u16,
        })
    }
}
