//! Every n-th slice of each volume.

use super::{Choice, Method, Slices, Tick};
use ctprune_core::select::{self, SelectError};

/// Keeps the slices whose index in their group is a multiple of `n`; each covers those up to the next.
pub struct EveryN {
    /// Distance of kept slices, at least 1.
    pub n: usize,
}

impl Method for EveryN {
    fn select(&self, slices: Slices<'_>, _tick: &mut Tick<'_>) -> Result<Choice, SelectError> {
        let mut selection = select::every_n(slices.groups, self.n)?;
        selection.measure(slices.fingerprints)?;
        Ok(Choice {
            selection,
            threshold: None,
        })
    }
}
