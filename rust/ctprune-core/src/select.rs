//! Which slices to keep: the greedy exemplar rule on Hamming distances, and its controls.
//!
//! Walk through the fingerprints in order; one that is similar (distance at most the radius) to one already
//! kept is dropped, else it is kept. The first kept one in order that is similar is its exemplar.
//! [`naive`] is this sentence as code. The fast ways give exactly its answer:
//!
//! * [`leader_in_volumes`] applies the rule to each volume by itself, volumes in parallel;
//! * [`leader_in_dataset`] applies it to all fingerprints as one sequence, with an exact index;
//! * [`every_n`] and [`random`] do not look at the fingerprints;
//! * [`threshold_for_keep`] finds the radius that keeps a wanted share.
//!
//! Nothing depends on the number of threads.

mod columns;
mod dataset;
mod error;
mod greedy;
mod group;
mod index;
mod keep_fraction;
pub mod naive;
mod plan;
mod recent;
mod runs;
mod sample;
mod settled;
mod table;
mod volumes;

pub use dataset::{BLOCK, leader_in_dataset};
pub use error::SelectError;
pub(crate) use keep_fraction::nearest_length;
pub use keep_fraction::{Scope, threshold_for_keep};
pub use sample::{every_n, random};
pub use volumes::leader_in_volumes;

use crate::hamming::Fingerprints;

/// Stands for "no exemplar": a dropped slice that no kept one covers, as [`random`] leaves them.
pub const NO_EXEMPLAR: u32 = u32::MAX;

/// Stands for "no distance known".
pub const NO_DISTANCE: u16 = u16::MAX;

/// For each row the kept row that covers it and the distance to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The row itself if kept, else its exemplar, or [`NO_EXEMPLAR`].
    pub exemplar: Vec<u32>,
    /// Hamming distance to the exemplar: 0 if kept, [`NO_DISTANCE`] where it was not computed.
    pub distance: Vec<u16>,
}

impl Selection {
    /// Every one of `rows` rows kept.
    pub fn all(rows: usize) -> Result<Selection, SelectError> {
        check_rows(rows)?;
        Ok(Selection {
            exemplar: (0..rows as u32).collect(),
            distance: vec![0; rows],
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.exemplar.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.exemplar.is_empty()
    }

    /// Whether `row` is kept.
    pub fn is_kept(&self, row: usize) -> bool {
        self.exemplar[row] as usize == row
    }

    /// Number of kept rows.
    pub fn kept(&self) -> usize {
        (0..self.len()).filter(|&row| self.is_kept(row)).count()
    }

    /// Fills in the distances to the exemplars, for selections made without looking at fingerprints.
    pub fn measure(&mut self, fingerprints: Fingerprints<'_>) -> Result<(), SelectError> {
        let (expected, found) = (self.len(), fingerprints.len());
        if expected != found {
            return Err(SelectError::Length {
                what: "fingerprints",
                expected,
                found,
            });
        }
        for (row, (&exemplar, distance)) in self.exemplar.iter().zip(&mut self.distance).enumerate() {
            if exemplar != NO_EXEMPLAR {
                *distance = fingerprints.distance(row, exemplar as usize) as u16;
            }
        }
        Ok(())
    }

    /// Nothing decided yet.
    fn open(rows: usize) -> Selection {
        Selection {
            exemplar: vec![NO_EXEMPLAR; rows],
            distance: vec![NO_DISTANCE; rows],
        }
    }
}

/// What covers a row: the exemplar and the distance to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cover {
    exemplar: u32,
    distance: u16,
}

impl Cover {
    const NONE: Cover = Cover {
        exemplar: NO_EXEMPLAR,
        distance: NO_DISTANCE,
    };

    fn is_none(self) -> bool {
        self.exemplar == NO_EXEMPLAR
    }
}

/// Refuses more rows than a `u32` can number, [`NO_EXEMPLAR`] excepted.
pub(crate) fn check_rows(rows: usize) -> Result<(), SelectError> {
    if rows as u64 > u64::from(u32::MAX) {
        Err(SelectError::TooManyRows { rows })
    } else {
        Ok(())
    }
}

fn check_radius(fingerprints: Fingerprints<'_>, radius: u32) -> Result<(), SelectError> {
    let bits = fingerprints.bits();
    if radius > bits {
        Err(SelectError::Radius { radius, bits })
    } else {
        Ok(())
    }
}

/// Refuses offsets that do not start at 0, do not end at `rows`, or descend.
pub(crate) fn check_starts(starts: &[usize], rows: usize) -> Result<(), SelectError> {
    let ends_right = starts.first() == Some(&0) && starts.last() == Some(&rows);
    if ends_right && starts.is_sorted() {
        Ok(())
    } else {
        Err(SelectError::Starts { rows })
    }
}
