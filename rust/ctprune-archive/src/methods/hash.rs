//! The paper's method: a slice within a Hamming distance of one already kept is a near-duplicate.
//!
//! A method by another kind of fingerprint differs in a few words only: it takes the rest from [`by`].

use super::{Choice, Default, Description, Measure, Method, Role, Share, Slices, Way};
use ctprune_core::fingerprint::{DHASH, Kind};
use ctprune_core::selection::hamming::{self, Scope};
use ctprune_core::selection::{SelectError, Selection};
use ctprune_core::watch::Watch;
use std::ops::ControlFlow;

pub(super) static HASH: Description = Description {
    drops: "Hamming distance of two dHashes ≤ threshold",
    citation: "difference hashes of {bits} bits",
    source: "Wolf et al. 2024",
    // Of 64 bits, as in the paper.
    options: &[
        ("threshold", Default::Whole(6)),
        ("keep", Default::None),
        ("budget", Default::None),
        ("max_gap_mm", Default::None),
        ("stable", Default::None),
    ],
    ..by("hash", &DHASH)
};

/// A method that compares fingerprints of a kind.
pub(super) const fn by(name: &'static str, kind: &'static Kind) -> Description {
    Description {
        name,
        drops: "",
        citation: "",
        source: "",
        fingerprint: Some(kind),
        measure: Some(HAMMING),
        on_embeddings: None,
        role: Role::Decides,
        options: &[
            ("threshold", Default::None),
            ("keep", Default::None),
            ("budget", Default::None),
            ("max_gap_mm", Default::None),
            ("stable", Default::None),
        ],
        way: Way::Fingerprints(|request| Box::new(Hash::new(request))),
    }
}

/// The distance of fingerprints.
pub(super) const HAMMING: Measure = Measure {
    name: "Hamming distance",
    unit: "bits",
    larger_is_closer: false,
    low: 0.0,
    high: None,
    example: 6.0,
    grid: Vec::new,
    strictest_drops: "slices with equal fingerprints",
};

/// Greedy exemplars by Hamming distance of fingerprints.
pub(super) struct Hash {
    /// Largest distance of near-duplicates in bits.
    threshold: u32,
    /// How many slices to keep; the threshold that comes nearest is taken instead of `threshold`.
    share: Share,
}

impl Method for Hash {
    fn select(&self, slices: Slices<'_>, watch: &Watch) -> Result<Choice, SelectError> {
        let (threshold, selection) = self.exemplars(slices, watch)?;
        Ok(Choice::by_distance(selection, Some(threshold)))
    }
}

impl Hash {
    pub(super) fn new(request: &super::Request) -> Self {
        Self {
            threshold: request.bits(),
            share: request.share,
        }
    }

    /// The threshold taken and the selection at it.
    pub(super) fn exemplars(
        &self,
        slices: Slices<'_>,
        watch: &Watch,
    ) -> Result<(u32, Selection), SelectError> {
        let mut tick = |_| match watch.is_stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        // One group is the dataset scope, where an index pays; many are searched side by side.
        let scope = match slices.groups {
            [_, _] if !slices.reach.is_bounded() => Scope::Dataset,
            groups => Scope::Volumes(groups, slices.reach),
        };
        if let Some(fraction) = self.share.fraction(slices.fingerprints.len()) {
            return hamming::threshold_for_keep(slices.fingerprints, scope, fraction, &mut tick);
        }
        let selection = match scope {
            Scope::Dataset => hamming::dataset_exemplars(slices.fingerprints, self.threshold, &mut tick)?,
            Scope::Volumes(starts, reach) => {
                hamming::near_exemplars(slices.fingerprints, starts, self.threshold, reach)?
            }
        };
        Ok((self.threshold, selection))
    }
}
