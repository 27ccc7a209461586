//! Exact search among very many kept rows: sorted tables, swept by very many queries at once.
//!
//! The tables outgrow the caches, and a look-up at a random address would wait for memory. So both sides are
//! cut into parts by the first bits of the chunk's value, and part by part a piece of the table, small
//! enough for the cache, answers all the queries that look into it.

use super::plan::Chunk;
use super::runs::{Queries, Run};
use super::table::flips;
use crate::similarity::hamming::Fingerprints;
use crate::similarity::hamming::lanes::{Lanes, Task};
use ctprune_cpu::prefetch;
use rayon::prelude::*;

/// Words of a part of a table to aim at: 4096 take 32 KiB.
const PART: usize = 4096;

/// Sorted tables of kept rows, one per chunk.
pub(crate) struct Settled {
    tables: Vec<SortedTable>,
    rows: usize,
}

impl Settled {
    pub(crate) fn new(chunks: &[Chunk]) -> Self {
        Settled {
            tables: chunks.iter().map(|&chunk| SortedTable::new(chunk)).collect(),
            rows: 0,
        }
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.tables.iter().map(|table| &table.chunk)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds kept rows, ascending and later than all there are.
    pub(crate) fn merge(&mut self, fingerprints: Fingerprints<'_>, rows: &[u32]) {
        self.tables
            .par_iter_mut()
            .for_each(|table| table.merge(fingerprints, rows));
        self.rows += rows.len();
    }
}

/// The kept rows sorted by the value of a chunk, those of the same value ascending.
struct SortedTable {
    chunk: Chunk,
    /// Bucket `v` is from `starts[v]` to before `starts[v + 1]`.
    starts: Vec<u32>,
    words: Vec<u64>,
    rows: Vec<u32>,
}

impl SortedTable {
    fn new(chunk: Chunk) -> Self {
        SortedTable {
            chunk,
            starts: vec![0; (1 << chunk.width) + 1],
            words: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The words and rows of the buckets from `value` to before `end`.
    #[inline(always)]
    fn buckets(&self, value: u32, end: u32) -> (&[u64], &[u32]) {
        let range = self.starts[value as usize] as usize..self.starts[end as usize] as usize;
        (&self.words[range.clone()], &self.rows[range])
    }

    /// Merges in place, from the end, so that nothing is held twice.
    fn merge(&mut self, fingerprints: Fingerprints<'_>, rows: &[u32]) {
        let (fresh, fresh_starts) = self.sorted(fingerprints, rows);
        let mut end = self.words.len();
        self.words.resize(end + fresh.len(), 0);
        self.rows.resize(end + fresh.len(), 0);
        for value in (0..fresh_starts.len() - 1).rev() {
            let (before, after) = (fresh_starts[value] as usize, fresh_starts[value + 1] as usize);
            if before == after {
                continue;
            }
            // The old rows behind this bucket make room for the fresh ones of this and of all before it.
            let start = self.starts[value + 1] as usize;
            self.words.copy_within(start..end, start + after);
            self.rows.copy_within(start..end, start + after);
            for (at, &(word, row)) in fresh[before..after].iter().enumerate() {
                self.words[start + before + at] = word;
                self.rows[start + before + at] = row;
            }
            end = start;
        }
        self.starts
            .iter_mut()
            .zip(fresh_starts)
            .for_each(|(start, fresh)| *start += fresh);
    }

    /// Words and rows sorted by the value of the chunk, those of the same value in order, and where each
    /// value starts.
    fn sorted(&self, fingerprints: Fingerprints<'_>, rows: &[u32]) -> (Vec<(u64, u32)>, Vec<u32>) {
        let words: Vec<u64> = rows
            .iter()
            .map(|&row| fingerprints.row(row as usize)[self.chunk.word])
            .collect();
        let mut starts = vec![0; (1 << self.chunk.width) + 2];
        words
            .iter()
            .for_each(|&word| starts[self.chunk.value(word) as usize + 2] += 1);
        for value in 2..starts.len() {
            starts[value] += starts[value - 1];
        }
        let mut sorted = vec![(0, 0); rows.len()];
        for (&word, &row) in words.iter().zip(rows) {
            let at = &mut starts[self.chunk.value(word) as usize + 1];
            sorted[*at as usize] = (word, row);
            *at += 1;
        }
        starts.pop();
        (sorted, starts)
    }
}

/// Answers queries from settled tables; best for very many at once.
pub(crate) struct Sweep<'a> {
    pub(crate) settled: &'a Settled,
    pub(crate) queries: Queries<'a>,
}

impl Task for Sweep<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let mut runs = Vec::new();
        for table in &self.settled.tables {
            self.queries.collect_runs(&table.chunk, &mut runs);
            let parts = Parts::new(table);
            let (runs, starts) = parts.sort(&runs);
            for part in 0..parts.count {
                parts.prefetch(table, part + 1);
                for (high, low) in &parts.flips {
                    let from = part ^ high;
                    for run in &runs[starts[from as usize]..starts[from as usize + 1]] {
                        let value = run.value ^ (high << parts.shift);
                        for flip in low {
                            let (words, rows) = table.buckets(value ^ flip, (value ^ flip) + 1);
                            self.queries.compare::<L>(run, table.chunk.limit, words, rows);
                        }
                    }
                }
            }
        }
    }
}

/// A table in parts by the first bits of the value.
struct Parts {
    /// Number of parts, a power of two.
    count: u32,
    /// Bits of the value that say where in a part a bucket is.
    shift: u32,
    /// The table's flips, by what they change in the number of the part, and in the rest.
    flips: Vec<(u32, Vec<u32>)>,
}

impl Parts {
    fn new(table: &SortedTable) -> Self {
        let bits = (table.words.len() / PART + 1).ilog2().min(table.chunk.width);
        let shift = table.chunk.width - bits;
        let mut flips: Vec<(u32, u32)> = flips(table.chunk.width, table.chunk.radius)
            .into_iter()
            .map(|flip| (flip >> shift, flip & ((1 << shift) - 1)))
            .collect();
        flips.sort_unstable();
        let by_part = flips.chunk_by(|a, b| a.0 == b.0);
        let flips = by_part
            .map(|group| (group[0].0, group.iter().map(|flip| flip.1).collect()))
            .collect();
        Parts {
            count: 1 << bits,
            shift,
            flips,
        }
    }

    /// The runs by part, and where each part starts.
    fn sort(&self, runs: &[Run]) -> (Vec<Run>, Vec<usize>) {
        let mut starts = vec![0; self.count as usize + 2];
        for run in runs {
            starts[(run.value >> self.shift) as usize + 2] += 1;
        }
        for part in 2..starts.len() {
            starts[part] += starts[part - 1];
        }
        let mut sorted = vec![Run::default(); runs.len()];
        for run in runs {
            let at = &mut starts[(run.value >> self.shift) as usize + 1];
            sorted[*at] = *run;
            *at += 1;
        }
        (sorted, starts)
    }

    /// Asks for the words of a part, if there is one, to be brought into the cache.
    #[inline(always)]
    fn prefetch(&self, table: &SortedTable, part: u32) {
        if part < self.count {
            let (words, _) = table.buckets(part << self.shift, (part + 1) << self.shift);
            (0..words.len()).step_by(8).for_each(|at| prefetch(words, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_sorts_by_value_then_row() {
        let chunk = Chunk {
            word: 0,
            shift: 5,
            width: 6,
            radius: 1,
            limit: 6,
        };
        let data: Vec<u64> = (0..3000)
            .map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44)
            .collect();
        let fingerprints = Fingerprints::new(1, &data).unwrap();
        let mut table = SortedTable::new(chunk);
        for part in (0..3000).collect::<Vec<u32>>().chunks(700) {
            table.merge(fingerprints, part);
        }
        for value in 0..64 {
            let expected: Vec<u32> = (0..3000)
                .filter(|&row| chunk.value(data[row as usize]) == value)
                .collect();
            let (words, rows) = table.buckets(value, value + 1);
            assert_eq!(rows, expected);
            assert!(
                words
                    .iter()
                    .zip(rows)
                    .all(|(&word, &row)| word == data[row as usize])
            );
        }
    }
}
