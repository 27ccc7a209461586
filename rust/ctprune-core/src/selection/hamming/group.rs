//! Consecutive rows that are close to each other, searched for together.
//!
//! Neighboring slices have neighboring fingerprints. For a run of rows let `keep` be the bits on which they
//! all agree. A fingerprint that differs from the first of them in more than `threshold` bits *of keep* differs
//! from each of them in more than `threshold` bits, so one comparison refuses it for the whole run. What is
//! not refused is compared with each row. The answer is exact, whatever the rows are.

use crate::similarity::hamming::{Fingerprints, MAX_WORDS};

/// Most rows of a group: one bit each in a mask.
pub(crate) const MAX_ROWS: usize = 32;

/// How many bits the rows of a group may disagree on before the comparison refuses too little.
///
/// Of two unrelated fingerprints about half of `n` bits differ, with standard deviation `√n / 2`. The bits
/// left must put the threshold 3.3 deviations below that half: one in 2,000 unrelated ones is not refused.
pub(crate) fn free_bits(bits: u32, threshold: u32) -> u32 {
    let refuses = |free: u32| {
        let left = f64::from(bits - free);
        left / 2.0 - f64::from(threshold) >= 1.65 * left.sqrt()
    };
    (0..bits).take_while(|&free| refuses(free)).last().unwrap_or(0)
}

/// The first rows of a list that form a group.
pub(crate) struct Group<'a> {
    pub(crate) rows: &'a [u32],
    keep: [u64; MAX_WORDS],
}

impl<'a> Group<'a> {
    /// The longest group at the start of `rows`, which is not empty, with at most `free_bits` disagreeing bits.
    #[inline(always)]
    pub(crate) fn first_of(fingerprints: Fingerprints<'_>, rows: &'a [u32], free_bits: u32) -> Self {
        let anchor = fingerprints.row(rows[0] as usize);
        let mut differ = [0; MAX_WORDS];
        let mut len = 1;
        for &row in rows.iter().take(MAX_ROWS).skip(1) {
            let fingerprint = fingerprints.row(row as usize);
            let wider = differ
                .iter()
                .zip(anchor.iter().zip(fingerprint))
                .map(|(d, (a, b))| d | (a ^ b));
            if wider.map(u64::count_ones).sum::<u32>() > free_bits {
                break;
            }
            for (differ, (a, b)) in differ.iter_mut().zip(anchor.iter().zip(fingerprint)) {
                *differ |= a ^ b;
            }
            len += 1;
        }
        Group {
            rows: &rows[..len],
            keep: differ.map(|word| !word),
        }
    }

    /// One word for each of the fingerprint's: the bits on which all rows agree.
    #[inline(always)]
    pub(crate) fn keep(&self, words: usize) -> &[u64] {
        &self.keep[..words]
    }
}
