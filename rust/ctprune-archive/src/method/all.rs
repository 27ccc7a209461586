//! Keep everything: the baseline.

use super::{Choice, Method, Slices, Tick};
use ctprune_core::select::{SelectError, Selection};

/// Keeps every slice.
pub struct All;

impl Method for All {
    fn select(&self, slices: Slices<'_>, _tick: &mut Tick<'_>) -> Result<Choice, SelectError> {
        Ok(Choice {
            selection: Selection::all(slices.fingerprints.len())?,
            threshold: None,
        })
    }
}
