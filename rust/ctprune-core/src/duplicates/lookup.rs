//! All slices whose fingerprint is within a distance of a given one, exactly.
//!
//! Multi-index hashing as for selections ([`crate::selection::hamming`]): within `radius` bits of the whole means
//! within fewer bits of one of some chunks, whose values are looked up in tables.

use crate::option::OptionError;
use crate::selection::hamming::{Chunk, Table, cut, shares};
use crate::selection::{SelectError, check_count};
use crate::similarity::hamming::lanes::{self, Lanes, Task};
use crate::similarity::hamming::{Fingerprints, distance};
use crate::watch::Watch;
use rayon::prelude::*;

/// Slices up to which comparing with all of them is faster than tables.
const FEW: usize = 512;

/// Bits of a word up to which tables are faster than comparing with all.
const MOST_BITS: u32 = 12;

/// Tables of the slices.
pub(super) struct Lookup<'a> {
    fingerprints: Fingerprints<'a>,
    radius: u32,
    tables: Vec<Table>,
    /// Whether those of slices of one value are among them.
    with_empty: bool,
}

/// A slice within the radius.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    pub row: u32,
    pub distance: u16,
}

impl<'a> Lookup<'a> {
    /// All slices; those of one value, whose fingerprint is zero, only `with_empty`.
    pub fn new(fingerprints: Fingerprints<'a>, radius: u32, with_empty: bool) -> Self {
        let widest = fingerprints.len().max(2).ilog2().clamp(8, 22);
        let chunks: Vec<Chunk> =
            if fingerprints.len() <= FEW || radius > MOST_BITS * fingerprints.words() as u32 {
                Vec::new()
            } else {
                shares(radius, fingerprints.words())
                    .enumerate()
                    // Chunks that may differ in one bit at most: more flips are more look-ups than they save.
                    .filter_map(|(word, limit)| cut(word, limit, limit / 2 + 1, 0, widest))
                    .flatten()
                    .collect()
            };
        let mut tables: Vec<Table> = chunks.into_iter().map(Table::new).collect();
        tables.par_iter_mut().for_each(|table| {
            let word = table.chunk().word;
            let rows = 0..fingerprints.len();
            for row in rows.filter(|&row| with_empty || !is_empty(fingerprints.row(row))) {
                table.insert(fingerprints.row(row)[word], row as u32);
            }
        });
        Self {
            fingerprints,
            radius,
            tables,
            with_empty,
        }
    }

    /// The slices within the radius of a fingerprint, ascending; what `hits` held before is gone.
    pub fn within(&self, query: &[u64], hits: &mut Vec<Hit>) {
        hits.clear();
        lanes::dispatch(Within {
            lookup: self,
            query,
            hits,
        });
        hits.sort_unstable();
        hits.dedup();
    }
}

/// For each query the nearest slice within `radius` bits, the first of equals: its row and the distance.
///
/// Exact. Refuses fingerprints of another length. Once `watch` is stopped, the result is [`SelectError::Stopped`].
pub fn nearest_within(
    all: Fingerprints<'_>,
    queries: Fingerprints<'_>,
    radius: u32,
    watch: &Watch,
) -> Result<Vec<Option<(u32, u16)>>, SelectError> {
    check_count(all.len())?;
    if all.words() != queries.words() {
        let expected = format_args!("fingerprints of {} words", all.words());
        return Err(OptionError::new("queries", expected, format_args!("{} words", queries.words())).into());
    }
    let lookup = Lookup::new(all, radius, true);
    let search = |hits: &mut Vec<Hit>, query: usize| {
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        lookup.within(queries.row(query), hits);
        watch.advance(1);
        let nearest = hits.iter().min_by_key(|hit| (hit.distance, hit.row));
        Ok(nearest.map(|hit| (hit.row, hit.distance)))
    };
    let queries = (0..queries.len()).into_par_iter().with_min_len(64);
    queries.map_init(Vec::new, search).collect()
}

/// Whether it is that of a slice of one value, which says nothing.
pub(super) fn is_empty(fingerprint: &[u64]) -> bool {
    fingerprint.iter().all(|&word| word == 0)
}

struct Within<'a> {
    lookup: &'a Lookup<'a>,
    query: &'a [u64],
    hits: &'a mut Vec<Hit>,
}

impl Task for Within<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { lookup, query, hits } = self;
        let mut compare = |row: u32| {
            let apart = distance(query, lookup.fingerprints.row(row as usize));
            if apart <= lookup.radius {
                hits.push(Hit {
                    row,
                    distance: apart as u16,
                });
            }
        };
        if lookup.tables.is_empty() {
            let rows = 0..lookup.fingerprints.len();
            rows.filter(|&row| lookup.with_empty || !is_empty(lookup.fingerprints.row(row)))
                .for_each(|row| compare(row as u32));
            return;
        }
        for table in &lookup.tables {
            let chunk = table.chunk();
            let word = query[chunk.word];
            let value = chunk.value(word);
            for flip in table.flips() {
                let (words, rows) = table.bucket(value ^ flip);
                let close = words
                    .iter()
                    .zip(rows)
                    .filter(|(other, _)| (word ^ **other).count_ones() <= chunk.limit);
                close.for_each(|(_, &row)| compare(row));
            }
        }
    }
}
