//! The greedy exemplar rule on fingerprints: two are similar when at most `threshold` bits differ.
//!
//! * [`volume_exemplars`] applies the rule to each volume by itself, volumes in parallel;
//! * [`near_exemplars`] does so where an exemplar must also lie near along the body;
//! * [`dataset_exemplars`] applies it to all fingerprints as one sequence, with an exact index;
//! * [`threshold_for_keep`] finds the threshold that keeps a wanted share.
//!
//! [`naive`] is the rule word for word. Exact for every threshold.

mod columns;
mod cover;
mod dataset;
mod greedy;
mod group;
mod index;
mod keep;
pub mod naive;
mod near;
mod plan;
mod recent;
mod runs;
mod settled;
mod table;
mod volumes;

pub use dataset::{BLOCK, dataset_exemplars};
pub use keep::{Scope, threshold_for_keep};
pub use near::near_exemplars;
pub(crate) use plan::{Chunk, cut, shares};
pub(crate) use table::Table;
pub use volumes::{PIECE, volume_exemplars};

use super::SelectError;
use crate::option::OptionError;
use crate::similarity::hamming::Fingerprints;

/// Refuses a threshold beyond the bits of a fingerprint.
fn check_threshold(fingerprints: Fingerprints<'_>, threshold: u32) -> Result<(), SelectError> {
    let bits = fingerprints.bits();
    if threshold > bits {
        Err(OptionError::new("threshold", format_args!("0 to {bits} bits"), threshold).into())
    } else {
        Ok(())
    }
}
