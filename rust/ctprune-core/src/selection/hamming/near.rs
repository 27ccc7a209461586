//! The rule within each volume, where an exemplar must also lie near along the body.

use super::{check_threshold, volume_exemplars};
use crate::selection::{Reach, SelectError, Selection, check_count, check_starts};
use crate::similarity::hamming::Fingerprints;
use rayon::prelude::*;
use std::ops::Range;

/// [`volume_exemplars`](super::volume_exemplars) where two rows are similar only if `reach` allows it as well.
///
/// A volume keeps few rows, so each row is compared with all of them: an index would cost more than it saves.
pub fn near_exemplars(
    fingerprints: Fingerprints<'_>,
    starts: &[usize],
    threshold: u32,
    reach: Reach<'_>,
) -> Result<Selection, SelectError> {
    if !reach.is_bounded() {
        return volume_exemplars(fingerprints, starts, threshold);
    }
    check_count(fingerprints.len())?;
    check_threshold(fingerprints, threshold)?;
    check_starts(starts, fingerprints.len())?;
    reach.check(fingerprints.len())?;
    let decided = starts.par_windows(2).map(|volume| {
        let rows = volume[0]..volume[1];
        if reach.is_idle(rows.clone()) {
            alone(fingerprints, rows, threshold)
        } else {
            Ok(decide(fingerprints, rows, threshold, reach))
        }
    });
    let decided: Vec<Selection> = decided.collect::<Result<_, _>>()?;
    let mut all = Selection::open(0);
    for volume in decided {
        all.exemplar.extend(volume.exemplar);
        all.distance.extend(volume.distance);
    }
    Ok(all)
}

/// A volume without positions, which may be a folder of a million pictures.
fn alone(
    fingerprints: Fingerprints<'_>,
    rows: Range<usize>,
    threshold: u32,
) -> Result<Selection, SelectError> {
    let (first, end) = (rows.start, rows.end);
    let mut found = volume_exemplars(fingerprints.range(first, end), &[0, end - first], threshold)?;
    found
        .exemplar
        .iter_mut()
        .for_each(|exemplar| *exemplar += first as u32);
    Ok(found)
}

fn decide(fingerprints: Fingerprints<'_>, rows: Range<usize>, threshold: u32, reach: Reach<'_>) -> Selection {
    let mut selection = Selection::open(rows.len());
    let mut kept: Vec<usize> = Vec::new();
    for (at, row) in rows.enumerate() {
        let mut near = kept.iter().filter(|&&earlier| reach.allows(row, earlier));
        let similar = near.find_map(|&earlier| {
            let distance = fingerprints.distance(row, earlier);
            (distance <= threshold).then_some((earlier, distance))
        });
        let (exemplar, distance) = similar.unwrap_or((row, 0));
        if exemplar == row {
            kept.push(row);
        }
        selection.exemplar[at] = exemplar as u32;
        selection.distance[at] = distance as u16;
    }
    selection
}
