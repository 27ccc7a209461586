//! Selections that do not look at the slices: every n-th, and a random sample.

use std::ops::Range;

use super::{NO_DISTANCE, NO_EXEMPLAR, SelectError, Selection, check_count, check_starts};
use crate::option::OptionError;

/// Keeps the rows whose index in their volume is a multiple of `n`.
///
/// The exemplar of a dropped row is the kept one before it; the distance to that is [`NO_DISTANCE`] until
/// [`Selection::measure`]. `starts` are the volumes as in [`super::hamming::volume_exemplars`].
///
/// ```
/// use ctprune_core::selection::every_n;
/// assert_eq!(every_n(&[0, 4, 6], 3)?.exemplar, [0, 0, 0, 3, 4, 4]);
/// # Ok::<(), ctprune_core::selection::SelectError>(())
/// ```
pub fn every_n(starts: &[usize], n: usize) -> Result<Selection, SelectError> {
    if n == 0 {
        return Err(OptionError::new("n", "1 or more", n).into());
    }
    let mut selection = open(starts)?;
    for volume in starts.windows(2) {
        for row in volume[0]..volume[1] {
            let index = row - volume[0];
            selection.exemplar[row] = (row - index % n) as u32;
            if index % n == 0 {
                selection.distance[row] = 0;
            }
        }
    }
    Ok(selection)
}

/// Keeps a random sample of each volume; `[0, rows]` as `starts` samples all rows as one.
///
/// `size` is given each volume and says how many of its rows to keep; more than there are keeps all. The same
/// seed gives the same sample on every machine, and a sample of fewer rows is part of one of more. Dropped rows have
/// no exemplar.
///
/// ```
/// use ctprune_core::selection::random;
/// let sample = random(&[0, 100, 150], |volume| volume.len() / 10, 1)?;
/// assert_eq!((0..100).filter(|&row| sample.is_kept(row)).count(), 10);
/// assert_eq!((100..150).filter(|&row| sample.is_kept(row)).count(), 5);
/// # Ok::<(), ctprune_core::selection::SelectError>(())
/// ```
pub fn random(
    starts: &[usize],
    size: impl Fn(Range<usize>) -> usize,
    seed: u64,
) -> Result<Selection, SelectError> {
    let mut selection = open(starts)?;
    let mut ranks = Vec::new();
    for volume in starts.windows(2) {
        let rows = volume[0]..volume[1];
        let count = size(rows.clone()).min(rows.len());
        if count == 0 {
            continue;
        }
        // `rank` is one-to-one, so exactly `count` rows rank up to the count-th smallest.
        ranks.clear();
        ranks.extend(rows.clone().map(|row| rank(row, seed)));
        let (_, &mut last, _) = ranks.select_nth_unstable(count - 1);
        for row in rows.filter(|&row| rank(row, seed) <= last) {
            selection.exemplar[row] = row as u32;
            selection.distance[row] = 0;
        }
    }
    Ok(selection)
}

/// [`random`] with the number of rows to keep of each volume given one by one.
pub fn random_of(starts: &[usize], sizes: &[usize], seed: u64) -> Result<Selection, SelectError> {
    let size_of = |volume: Range<usize>| {
        // Of volumes that share an offset all but the last are empty.
        let number = starts.partition_point(|&start| start <= volume.start) - 1;
        sizes.get(number).copied().unwrap_or(0)
    };
    random(starts, size_of, seed)
}

fn open(starts: &[usize]) -> Result<Selection, SelectError> {
    let rows = starts.last().copied().unwrap_or(0);
    check_count(rows)?;
    check_starts(starts, rows)?;
    Ok(Selection {
        exemplar: vec![NO_EXEMPLAR; rows],
        distance: vec![NO_DISTANCE; rows],
    })
}

/// From a row to a number that is another for each, as if drawn at random.
pub(super) fn ranks(seed: u64) -> impl Fn(usize) -> u64 {
    move |row| rank(row, seed)
}

/// A number that is another for each row, as if drawn at random.
fn rank(row: usize, seed: u64) -> u64 {
    mix((row as u64).wrapping_add(mix(seed)))
}

/// The SplitMix64 generator's output for a state, one-to-one.
///
/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
