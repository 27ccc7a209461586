//! Queries that look up the same value of a chunk, together.

use super::cover::HammingCover;
use super::group;
use super::plan::Chunk;
use crate::similarity::hamming::lanes::{self, Lanes};
use crate::similarity::hamming::{self, Fingerprints};

/// Rows to find the first kept row within `threshold` for; the result for `rows[i]` goes to `found[i]`.
///
/// What `found` holds before is improved on, never made worse.
pub(crate) struct Queries<'a> {
    pub(crate) fingerprints: Fingerprints<'a>,
    pub(crate) rows: &'a [u32],
    pub(crate) threshold: u32,
    pub(crate) found: &'a mut [HammingCover],
}

/// Consecutive queries that have the same value of a chunk.
#[derive(Clone, Copy, Default)]
pub(crate) struct Run {
    pub(crate) value: u32,
    start: u32,
    end: u32,
    /// The chunk's word of the first of them.
    anchor: u64,
    /// The bits of that word on which all agree, as in [`group`].
    keep: u64,
}

impl Queries<'_> {
    /// Writes the runs of all queries to `runs`.
    #[inline(always)]
    pub(crate) fn collect_runs(&self, chunk: &Chunk, runs: &mut Vec<Run>) {
        let free_bits = group::free_bits(u64::BITS - chunk.width, chunk.limit);
        runs.clear();
        let mut run = Run::default();
        for (at, &row) in self.rows.iter().enumerate() {
            let word = self.fingerprints.row(row as usize)[chunk.word];
            let value = chunk.value(word);
            let keep = run.keep & !(run.anchor ^ word);
            if run.value == value && keep.count_zeros() <= free_bits && at > 0 {
                run.keep = keep;
                run.end += 1;
            } else {
                if at > 0 {
                    runs.push(run);
                }
                run = Run {
                    value,
                    start: at as u32,
                    end: at as u32 + 1,
                    anchor: word,
                    keep: u64::MAX,
                };
            }
        }
        if !self.rows.is_empty() {
            runs.push(run);
        }
    }

    /// Compares the queries of a run with the words of a bucket, which belong to `rows`, ascending.
    #[inline(always)]
    pub(crate) fn compare<L: Lanes>(&mut self, run: &Run, limit: u32, words: &[u64], rows: &[u32]) {
        let mut start = 0;
        while let Some(hit) = lanes::first_within::<L>(&words[start..], run.anchor, run.keep, limit) {
            let at = start + hit;
            if !self.improve(run, words[at], rows[at]) {
                return;
            }
            start = at + 1;
        }
    }

    /// Compares the queries of a run with one kept row; whether a later row may still improve on any of them.
    #[inline(always)]
    fn improve(&mut self, run: &Run, word: u64, row: u32) -> bool {
        let mut open = false;
        for member in run.start as usize..run.end as usize {
            // Rows ascend within a bucket: what has an earlier cover finds no better one here.
            if self.found[member].exemplar > row {
                match self.cover_by(word, row, member) {
                    Some(cover) => self.found[member] = cover,
                    None => open = true,
                }
            }
        }
        open
    }

    #[inline(always)]
    fn cover_by(&self, word: u64, row: u32, member: usize) -> Option<HammingCover> {
        let query = self.fingerprints.row(self.rows[member] as usize);
        // A fingerprint of one word is in the bucket; a longer one is looked up.
        let distance = match query {
            [query] => (query ^ word).count_ones(),
            _ => hamming::distance(query, self.fingerprints.row(row as usize)),
        };
        (distance <= self.threshold).then_some(HammingCover {
            exemplar: row,
            distance: distance as u16,
        })
    }
}
