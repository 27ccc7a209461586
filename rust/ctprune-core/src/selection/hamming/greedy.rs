//! The rule applied in order to a short list of rows, by comparing with all kept ones.

use super::columns::Columns;
use super::cover::HammingCover;
use super::group::{self, Group};
use crate::selection::NO_EXEMPLAR;
use crate::similarity::hamming::Fingerprints;
use crate::similarity::hamming::lanes::{Lanes, Task};

/// Decides on `rows`, ascending, given that no row before `first` matters.
///
/// Writes the cover of row `r` to `covers[r − first]`, and leaves the kept ones in `kept`.
pub(crate) struct Greedy<'a> {
    pub(crate) fingerprints: Fingerprints<'a>,
    pub(crate) rows: &'a [u32],
    pub(crate) first: usize,
    pub(crate) threshold: u32,
    pub(crate) kept: &'a mut Columns,
    pub(crate) covers: &'a mut [HammingCover],
}

impl Task for Greedy<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Greedy {
            fingerprints,
            mut rows,
            first,
            threshold,
            kept,
            covers,
        } = self;
        let free_bits = group::free_bits(fingerprints.bits(), threshold);
        kept.clear();
        while !rows.is_empty() {
            let group = Group::first_of(fingerprints, rows, free_bits);
            let earlier = kept.rows().len();
            let found = kept.first_within_group::<L>(fingerprints, &group, threshold);
            for (&row, cover) in group.rows.iter().zip(found) {
                let fingerprint = fingerprints.row(row as usize);
                // What the group itself has kept comes after all that was kept before it.
                let cover = if cover.exemplar == NO_EXEMPLAR {
                    kept.first_within(earlier, fingerprint, threshold)
                } else {
                    Some(cover)
                };
                covers[row as usize - first] = cover.unwrap_or_else(|| {
                    kept.push(fingerprints, row);
                    HammingCover {
                        exemplar: row,
                        distance: 0,
                    }
                });
            }
            rows = &rows[group.rows.len()..];
        }
    }
}
