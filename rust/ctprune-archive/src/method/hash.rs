//! The paper's method: a slice within a Hamming distance of one already kept is a near-duplicate.

use super::{Choice, Method, Slices, Tick};
use ctprune_core::select::{self, Scope, SelectError, Selection};

/// Greedy exemplars by Hamming distance of dHashes.
pub struct Hash {
    /// Largest distance of near-duplicates in bits.
    pub threshold: u32,
    /// Fraction of slices to keep; the threshold that comes nearest is taken instead of `threshold`.
    pub keep: Option<f64>,
}

impl Method for Hash {
    fn select(&self, slices: Slices<'_>, tick: &mut Tick<'_>) -> Result<Choice, SelectError> {
        let (threshold, selection) = self.exemplars(slices, tick)?;
        Ok(Choice {
            selection,
            threshold: Some(threshold),
        })
    }
}

impl Hash {
    /// The threshold taken and the selection at it.
    pub(super) fn exemplars(
        &self,
        slices: Slices<'_>,
        tick: &mut Tick<'_>,
    ) -> Result<(u32, Selection), SelectError> {
        // One group is the dataset scope, where an index pays; many are searched side by side.
        let scope = match slices.groups {
            [_, _] => Scope::Dataset,
            groups => Scope::Volumes(groups),
        };
        if let Some(fraction) = self.keep {
            return select::threshold_for_keep(slices.fingerprints, scope, fraction, tick);
        }
        let selection = match scope {
            Scope::Dataset => select::leader_in_dataset(slices.fingerprints, self.threshold, tick)?,
            Scope::Volumes(starts) => select::leader_in_volumes(slices.fingerprints, starts, self.threshold)?,
        };
        Ok((self.threshold, selection))
    }
}
