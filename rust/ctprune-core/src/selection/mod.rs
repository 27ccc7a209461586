//! Which slices to keep: the greedy exemplar rule, and its controls.
//!
//! Walk through the slices in order; one that is similar to a slice already kept is dropped, else it is kept. The first
//! kept one in order that is similar is its exemplar. What is similar is decided by
//!
//! * [`hamming`]: fingerprints that differ in at most so many bits;
//! * [`cosine`]: embeddings whose cosine is at least so much;
//! * [`pixels`]: SSIM or mutual information of at least so much.
//!
//! A [`Reach`] says how far along the body an exemplar may lie, whatever decides on what is similar.
//!
//! Each has a module `naive`, which is the rule word for word; the fast ways give exactly its answer. [`every_n`] and
//! [`random`] do not look at the slices. Nothing depends on the number of threads.
//!
//! Other selections work on [`Points`], which are fingerprints or embeddings: [`kcenter`], [`facility`] and
//! [`retrieval`]. On embeddings alone work [`semdedup`] and
//! [`balanced`], which cluster them by [`kmeans`].

pub mod balanced;
pub mod cosine;
mod error;
pub mod facility;
pub mod hamming;
pub mod kcenter;
mod keep_fraction;
pub mod kmeans;
pub mod pixels;
mod points;
mod reach;
pub mod retrieval;
mod sample;
pub mod semdedup;
mod shares;

pub use error::SelectError;
pub use keep_fraction::nearest_kept;
pub use points::{PointSelection, Points};
pub use reach::Reach;
pub use sample::{every_n, random, random_of};
pub use shares::{even_shares, proportional_shares};

use crate::similarity::hamming::Fingerprints;

/// Stands for "no exemplar": a dropped slice that no kept one covers, as [`random`] leaves them.
pub const NO_EXEMPLAR: u32 = u32::MAX;

/// Stands for "no distance known".
pub const NO_DISTANCE: u16 = u16::MAX;

/// For each slice the kept slice that covers it and the distance to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The slice itself if kept, else its exemplar, or [`NO_EXEMPLAR`].
    pub exemplar: Vec<u32>,
    /// Hamming distance to the exemplar: 0 if kept, [`NO_DISTANCE`] where it was not computed.
    pub distance: Vec<u16>,
}

impl Selection {
    /// Every one of `slices` slices kept.
    pub fn all(slices: usize) -> Result<Selection, SelectError> {
        check_count(slices)?;
        Ok(Selection {
            exemplar: (0..slices as u32).collect(),
            distance: vec![0; slices],
        })
    }

    /// Number of slices.
    pub fn len(&self) -> usize {
        self.exemplar.len()
    }

    /// Whether there is no slice.
    pub fn is_empty(&self) -> bool {
        self.exemplar.is_empty()
    }

    /// Whether `slice` is kept.
    pub fn is_kept(&self, slice: usize) -> bool {
        self.exemplar[slice] as usize == slice
    }

    /// Number of kept slices.
    pub fn kept(&self) -> usize {
        (0..self.len()).filter(|&slice| self.is_kept(slice)).count()
    }

    /// Fills in the distances to the exemplars, for selections made without looking at fingerprints.
    pub fn measure(&mut self, fingerprints: Fingerprints<'_>) -> Result<(), SelectError> {
        let (expected, found) = (self.len(), fingerprints.len());
        if expected != found {
            return Err(SelectError::Fingerprints { expected, found });
        }
        for (slice, (&exemplar, distance)) in self.exemplar.iter().zip(&mut self.distance).enumerate() {
            if exemplar != NO_EXEMPLAR {
                *distance = fingerprints.distance(slice, exemplar as usize) as u16;
            }
        }
        Ok(())
    }

    /// Nothing decided yet.
    fn open(slices: usize) -> Selection {
        Selection {
            exemplar: vec![NO_EXEMPLAR; slices],
            distance: vec![NO_DISTANCE; slices],
        }
    }
}

/// Refuses more slices than a `u32` can number, [`NO_EXEMPLAR`] excepted.
pub(crate) fn check_count(slices: usize) -> Result<(), SelectError> {
    if slices as u64 > u64::from(u32::MAX) {
        Err(SelectError::TooManySlices { found: slices })
    } else {
        Ok(())
    }
}

/// Refuses offsets of volumes that do not start at 0, do not end at `slices`, or descend.
pub(crate) fn check_starts(starts: &[usize], slices: usize) -> Result<(), SelectError> {
    let ends_right = starts.first() == Some(&0) && starts.last() == Some(&slices);
    if ends_right && starts.is_sorted() {
        Ok(())
    } else {
        Err(SelectError::Volumes {
            slices,
            found: starts.to_vec(),
        })
    }
}
