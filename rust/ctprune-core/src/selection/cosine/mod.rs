//! The greedy exemplar rule on embeddings: two are similar when their cosine is at least `threshold`.
//!
//! [`naive`] is the rule word for word, and [`exemplars`] agrees with it to the bit, at any number of threads.

mod exemplars;
mod keep;
mod kept;
pub mod naive;
#[cfg(test)]
mod tests;

pub use exemplars::exemplars;
pub(super) use keep::threshold_of;
pub use keep::{angles, grid, threshold_for_keep};
pub(super) use kept::kept_by_angle;

use super::{Reach, SelectError, check_count, check_starts};
use crate::option::OptionError;
use crate::similarity::cosine::Embeddings;

/// For each row the kept row that covers it and its similarity to that.
#[derive(Clone, Debug, PartialEq)]
pub struct CosineSelection {
    /// The row itself if kept, else its exemplar: the first kept one that is similar.
    pub exemplar: Vec<u32>,
    /// Cosine similarity to the exemplar; 1 if kept.
    pub similarity: Vec<f32>,
}

impl CosineSelection {
    /// Every row kept.
    fn all(rows: usize) -> Self {
        Self {
            exemplar: (0..rows as u32).collect(),
            similarity: vec![1.0; rows],
        }
    }

    /// Number of kept rows.
    pub fn kept(&self) -> usize {
        (0u32..).zip(&self.exemplar).filter(|(row, e)| row == *e).count()
    }
}

fn check(
    embeddings: Embeddings<'_>,
    starts: &[usize],
    threshold: f64,
    reach: Reach<'_>,
) -> Result<(), SelectError> {
    check_count(embeddings.len())?;
    check_starts(starts, embeddings.len())?;
    reach.check(embeddings.len())?;
    if (-1.0..=1.0).contains(&threshold) {
        Ok(())
    } else {
        Err(OptionError::new("threshold", "a cosine, -1 to 1", threshold).into())
    }
}
