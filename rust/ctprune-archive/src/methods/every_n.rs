//! Every n-th slice of each volume.

use super::hash::HAMMING;
use super::{Choice, Default, Description, Method, Role, Slices, Way};
use ctprune_core::selection::{self, SelectError};
use ctprune_core::watch::Watch;

pub(super) static EVERY_N: Description = Description {
    name: "every-n",
    drops: "index in the volume is not a multiple of n",
    citation: "every n-th slice (n = {n})",
    source: "",
    fingerprint: None,
    measure: Some(HAMMING),
    on_embeddings: None,
    role: Role::Recorded,
    options: &[("n", Default::Whole(10))],
    way: Way::Fingerprints(|request| Box::new(EveryN { n: request.n })),
};

/// Keeps the slices whose index in their group is a multiple of `n`; each covers those up to the next.
struct EveryN {
    /// Distance of kept slices, at least 1.
    n: usize,
}

impl Method for EveryN {
    fn select(&self, slices: Slices<'_>, _watch: &Watch) -> Result<Choice, SelectError> {
        let mut selection = selection::every_n(slices.groups, self.n)?;
        selection.measure(slices.fingerprints)?;
        Ok(Choice::by_distance(selection, None))
    }
}
