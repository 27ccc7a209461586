//! Every n-th slice of each volume.

use super::{Choice, Method, Slices, Stopped, Tick, stopped};
use ctprune_core::select;

/// Keeps the slices whose index in their group is a multiple of `n`; each covers those up to the next.
pub struct EveryN {
    /// Distance of kept slices, at least 1.
    pub n: usize,
}

impl Method for EveryN {
    fn select(&self, slices: &Slices<'_>, _tick: &mut Tick<'_>) -> Result<Choice, Stopped> {
        let selection = select::every_n(slices.groups, self.n).map_err(stopped)?;
        Ok(Choice { exemplar: selection.exemplar, ..Choice::default() })
    }
}
