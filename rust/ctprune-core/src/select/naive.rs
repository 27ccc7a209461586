//! The greedy exemplar rule word for word: slow, obvious, and what the fast ways are tested against.

use super::{SelectError, Selection, check_radius, check_rows, check_starts};
use crate::hamming::Fingerprints;

/// [`super::leader_in_dataset`] without an index: each row against each kept row.
pub fn leader_in_dataset(fingerprints: Fingerprints<'_>, radius: u32) -> Result<Selection, SelectError> {
    leader_in_volumes(fingerprints, &[0, fingerprints.len()], radius)
}

/// [`super::leader_in_volumes`], one volume after the other.
pub fn leader_in_volumes(
    fingerprints: Fingerprints<'_>,
    starts: &[usize],
    radius: u32,
) -> Result<Selection, SelectError> {
    check_rows(fingerprints.len())?;
    check_radius(fingerprints, radius)?;
    check_starts(starts, fingerprints.len())?;
    let mut selection = Selection::open(fingerprints.len());
    for volume in starts.windows(2) {
        let mut kept: Vec<usize> = Vec::new();
        for row in volume[0]..volume[1] {
            let similar = kept.iter().find(|&&k| fingerprints.distance(row, k) <= radius);
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
