//! A seeded sample: the fair control at the same number of slices.

use super::hash::{HAMMING, Hash};
use super::{Choice, Default, Description, Method, Request, Role, Share, Slices, Way};
use ctprune_core::selection::{self, SelectError};
use ctprune_core::watch::Watch;

pub(super) static RANDOM: Description = Description {
    name: "random",
    drops: "not in a seeded sample",
    citation: "a random sample (seed {seed})",
    source: "",
    fingerprint: None,
    measure: Some(HAMMING),
    on_embeddings: None,
    role: Role::Sizes,
    options: &[
        ("threshold", Default::Whole(6)),
        ("keep", Default::None),
        ("budget", Default::None),
        ("seed", Default::Whole(0)),
    ],
    way: Way::Fingerprints(|request| Box::new(Random::new(request))),
};

/// Keeps a random sample of each group; no kept slice covers a dropped one.
struct Random {
    /// Fraction of each group to keep, or number in all; without either as many slices of each group as `like` keeps.
    share: Share,
    /// The method whose number of slices is matched.
    like: Hash,
    /// The same seed gives the same sample on every machine.
    seed: u64,
}

impl Random {
    fn new(request: &Request) -> Self {
        Self {
            share: request.share,
            like: Hash::new(request),
            seed: request.seed,
        }
    }
}

impl Method for Random {
    fn select(&self, slices: Slices<'_>, watch: &Watch) -> Result<Choice, SelectError> {
        let selection = match self.share {
            Share {
                budget: Some(budget), ..
            } => {
                let sizes: Vec<usize> = slices
                    .groups
                    .windows(2)
                    .map(|group| group[1] - group[0])
                    .collect();
                let shares = selection::proportional_shares(&sizes, budget);
                selection::random_of(slices.groups, &shares, self.seed)?
            }
            Share {
                keep: Some(fraction), ..
            } => {
                // Rounded to the nearest number of slices, halves up.
                let size = |slices: usize| (fraction * slices as f64 + 0.5).floor() as usize;
                selection::random(slices.groups, |group| size(group.len()), self.seed)?
            }
            Share { .. } => {
                let (_, model) = self.like.exemplars(slices, watch)?;
                let kept =
                    |group: std::ops::Range<usize>| group.filter(|&slice| model.is_kept(slice)).count();
                selection::random(slices.groups, kept, self.seed)?
            }
        };
        Ok(Choice::by_distance(selection, None))
    }
}
