//! Keep everything: the baseline.

use super::{Choice, Description, Method, Role, Slices, Way};
use ctprune_core::selection::{SelectError, Selection};
use ctprune_core::watch::Watch;

pub(super) static ALL: Description = Description {
    name: "all",
    drops: "never",
    citation: "no reduction",
    source: "",
    fingerprint: None,
    measure: None,
    on_embeddings: None,
    role: Role::None,
    options: &[],
    way: Way::Fingerprints(|_| Box::new(All)),
};

/// Keeps every slice.
struct All;

impl Method for All {
    fn select(&self, slices: Slices<'_>, _watch: &Watch) -> Result<Choice, SelectError> {
        Ok(Choice::by_distance(
            Selection::all(slices.fingerprints.len())?,
            None,
        ))
    }
}
