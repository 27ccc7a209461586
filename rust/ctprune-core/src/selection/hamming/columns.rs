//! Kept fingerprints in order, word by word, searched from the first to the last.

use super::cover::HammingCover;
use super::group::{Group, MAX_ROWS};
use crate::similarity::hamming::Fingerprints;
use crate::similarity::hamming::lanes::{self, Lanes};

/// Kept rows and their fingerprints; `words[w][i]` is the w-th word of the i-th kept row.
pub(crate) struct Columns {
    words: Vec<Vec<u64>>,
    rows: Vec<u32>,
}

impl Columns {
    pub(crate) fn new(words: usize) -> Self {
        Columns {
            words: vec![Vec::new(); words],
            rows: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.words.iter_mut().for_each(Vec::clear);
        self.rows.clear();
    }

    /// The kept rows, ascending.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, fingerprints: Fingerprints<'_>, row: u32) {
        for (column, &word) in self.words.iter_mut().zip(fingerprints.row(row as usize)) {
            column.push(word);
        }
        self.rows.push(row);
    }

    /// The first kept row from position `start` on that is within `threshold` of `fingerprint`.
    #[inline(always)]
    pub(crate) fn first_within(
        &self,
        start: usize,
        fingerprint: &[u64],
        threshold: u32,
    ) -> Option<HammingCover> {
        (start..self.rows.len()).find_map(|at| self.cover_at(at, fingerprint, threshold))
    }

    /// The same for each row of a group at once, over all positions.
    #[inline(always)]
    pub(crate) fn first_within_group<L: Lanes>(
        &self,
        fingerprints: Fingerprints<'_>,
        group: &Group<'_>,
        threshold: u32,
    ) -> [HammingCover; MAX_ROWS] {
        let mut covers = [HammingCover::NONE; MAX_ROWS];
        let mut open = u32::MAX >> (MAX_ROWS - group.rows.len());
        let anchor = fingerprints.row(group.rows[0] as usize);
        let keep = group.keep(anchor.len());
        let mut start = 0;
        while let Some(at) = lanes::first_row_within::<L>(&self.words, start, anchor, keep, threshold) {
            let mut left = open;
            while left != 0 {
                let member = left.trailing_zeros() as usize;
                left &= left - 1;
                let fingerprint = fingerprints.row(group.rows[member] as usize);
                if let Some(cover) = self.cover_at(at, fingerprint, threshold) {
                    covers[member] = cover;
                    open &= !(1 << member);
                }
            }
            if open == 0 {
                break;
            }
            start = at + 1;
        }
        covers
    }

    #[inline(always)]
    fn cover_at(&self, at: usize, fingerprint: &[u64], threshold: u32) -> Option<HammingCover> {
        let distance = self
            .words
            .iter()
            .zip(fingerprint)
            .map(|(column, word)| (column[at] ^ word).count_ones())
            .sum::<u32>();
        (distance <= threshold).then(|| HammingCover {
            exemplar: self.rows[at],
            distance: distance as u16,
        })
    }
}
