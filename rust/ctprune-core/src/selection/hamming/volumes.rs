//! The rule within each volume.

use super::columns::Columns;
use super::cover::HammingCover;
use super::greedy::Greedy;
use super::{check_threshold, dataset};
use crate::selection::{NO_EXEMPLAR, SelectError, Selection, check_count, check_starts};
use crate::similarity::hamming::Fingerprints;
use crate::similarity::hamming::lanes;
use std::ops::ControlFlow;

/// Up to so many rows, [`volume_exemplars`] works on the calling thread alone: to split them would cost more.
pub const PIECE: usize = 2048;

/// Rows of a volume from which on the way of the whole data set is faster.
const LARGE: usize = 2 * dataset::BLOCK;

/// Applies the greedy exemplar rule to each volume by itself, volumes in parallel. Exact for every threshold.
///
/// Volume `v` is the rows from `starts[v]` to before `starts[v + 1]`: `starts` begins with 0 and ends with
/// the number of rows. Exemplars are numbered over all rows.
pub fn volume_exemplars(
    fingerprints: Fingerprints<'_>,
    starts: &[usize],
    threshold: u32,
) -> Result<Selection, SelectError> {
    check_count(fingerprints.len())?;
    check_threshold(fingerprints, threshold)?;
    check_starts(starts, fingerprints.len())?;
    let mut selection = Selection::open(fingerprints.len());
    let Selection { exemplar, distance } = &mut selection;
    Volumes {
        fingerprints,
        starts,
        threshold,
        exemplar,
        distance,
    }
    .decide();
    Ok(selection)
}

/// Consecutive volumes and the part of the selection that belongs to them.
struct Volumes<'a> {
    fingerprints: Fingerprints<'a>,
    starts: &'a [usize],
    threshold: u32,
    exemplar: &'a mut [u32],
    distance: &'a mut [u16],
}

impl Volumes<'_> {
    fn decide(self) {
        let volumes = self.starts.len() - 1;
        if volumes <= 1 || self.exemplar.len() <= PIECE {
            return self.decide_in_turn();
        }
        let (left, right) = self.split_at(volumes / 2);
        rayon::join(|| left.decide(), || right.decide());
    }

    fn split_at(self, volume: usize) -> (Self, Self) {
        let Volumes {
            fingerprints,
            starts,
            threshold,
            exemplar,
            distance,
        } = self;
        let rows = starts[volume] - starts[0];
        let (exemplar, right_exemplar) = exemplar.split_at_mut(rows);
        let (distance, right_distance) = distance.split_at_mut(rows);
        let right = Volumes {
            fingerprints,
            starts: &starts[volume..],
            threshold,
            exemplar: right_exemplar,
            distance: right_distance,
        };
        (
            Volumes {
                fingerprints,
                starts: &starts[..=volume],
                threshold,
                exemplar,
                distance,
            },
            right,
        )
    }

    fn decide_in_turn(self) {
        let mut kept = Columns::new(self.fingerprints.words());
        let (mut rows, mut covers) = (Vec::new(), Vec::new());
        let offset = self.starts[0];
        for volume in self.starts.windows(2) {
            let (first, end) = (volume[0], volume[1]);
            let (exemplar, distance) = (
                &mut self.exemplar[first - offset..end - offset],
                &mut self.distance[first - offset..end - offset],
            );
            if end - first >= LARGE {
                decide_large(
                    self.fingerprints.range(first, end),
                    first,
                    self.threshold,
                    exemplar,
                    distance,
                );
                continue;
            }
            rows.clear();
            rows.extend(first as u32..end as u32);
            covers.clear();
            covers.resize(end - first, HammingCover::NONE);
            lanes::dispatch(Greedy {
                fingerprints: self.fingerprints,
                rows: &rows,
                first,
                threshold: self.threshold,
                kept: &mut kept,
                covers: &mut covers,
            });
            for ((exemplar, distance), cover) in exemplar.iter_mut().zip(distance).zip(&covers) {
                (*exemplar, *distance) = (cover.exemplar, cover.distance);
            }
        }
    }
}

/// A volume as long as a data set: a folder of unrelated pictures, say.
fn decide_large(
    fingerprints: Fingerprints<'_>,
    first: usize,
    threshold: u32,
    exemplar: &mut [u32],
    distance: &mut [u16],
) {
    // Nobody cancels and the input was checked, so there is a result.
    if let Ok(selection) =
        dataset::dataset_exemplars(fingerprints, threshold, &mut |_| ControlFlow::Continue(()))
    {
        for (exemplar, found) in exemplar.iter_mut().zip(selection.exemplar) {
            *exemplar = if found == NO_EXEMPLAR {
                found
            } else {
                found + first as u32
            };
        }
        distance.copy_from_slice(&selection.distance);
    }
}
