//! The greedy exemplar rule word for word: slow, obvious, and what the fast ways are tested against.

use super::check_threshold;
use crate::selection::{Reach, SelectError, Selection, check_count, check_starts};
use crate::similarity::hamming::Fingerprints;

/// [`super::dataset_exemplars`] without an index: each row against each kept row.
pub fn dataset_exemplars(fingerprints: Fingerprints<'_>, threshold: u32) -> Result<Selection, SelectError> {
    volume_exemplars(fingerprints, &[0, fingerprints.len()], threshold)
}

/// [`super::volume_exemplars`], one volume after the other.
pub fn volume_exemplars(
    fingerprints: Fingerprints<'_>,
    starts: &[usize],
    threshold: u32,
) -> Result<Selection, SelectError> {
    near_exemplars(fingerprints, starts, threshold, Reach::ANY)
}

/// [`super::near_exemplars`], one volume after the other.
pub fn near_exemplars(
    fingerprints: Fingerprints<'_>,
    starts: &[usize],
    threshold: u32,
    reach: Reach<'_>,
) -> Result<Selection, SelectError> {
    check_count(fingerprints.len())?;
    check_threshold(fingerprints, threshold)?;
    check_starts(starts, fingerprints.len())?;
    let mut selection = Selection::open(fingerprints.len());
    for volume in starts.windows(2) {
        let mut kept: Vec<usize> = Vec::new();
        for row in volume[0]..volume[1] {
            let similar = kept
                .iter()
                .find(|&&k| fingerprints.distance(row, k) <= threshold && reach.allows(row, k));
            let exemplar = similar.copied().unwrap_or(row);
            if exemplar == row {
                kept.push(row);
            }
            selection.exemplar[row] = exemplar as u32;
            selection.distance[row] = fingerprints.distance(row, exemplar) as u16;
        }
    }
    Ok(selection)
}
