//! The same number of slices from every volume, drawn at random: the control for methods that spread over volumes.

use super::by_points::no_end;
use super::{Choice, Default, Description, Method, Role, Share, Slices, Way};
use ctprune_core::selection::{self, SelectError};
use ctprune_core::watch::Watch;

pub(super) static RANDOM_PER_VOLUME: Description = Description {
    name: "random-per-volume",
    drops: "not in a seeded sample of the same number from every volume",
    citation: "a random sample of the same number of slices from every volume (seed {seed})",
    source: "",
    fingerprint: None,
    measure: None,
    on_embeddings: None,
    role: Role::None,
    options: &[
        ("keep", Default::None),
        ("budget", Default::None),
        ("seed", Default::Whole(0)),
    ],
    way: Way::Fingerprints(|request| {
        Box::new(RandomPerVolume {
            share: request.share,
            seed: request.seed,
        })
    }),
};

/// Keeps a random sample of each group, all of the same size where groups are large enough.
struct RandomPerVolume {
    share: Share,
    seed: u64,
}

impl Method for RandomPerVolume {
    fn select(&self, slices: Slices<'_>, _watch: &Watch) -> Result<Choice, SelectError> {
        let total = self.share.count(slices.fingerprints.len());
        let total = total.ok_or_else(|| no_end("a fraction or a number of slices"))?;
        let sizes: Vec<usize> = slices
            .groups
            .windows(2)
            .map(|group| group[1] - group[0])
            .collect();
        let shares = selection::even_shares(&sizes, total);
        let selection = selection::random_of(slices.groups, &shares, self.seed)?;
        Ok(Choice::by_distance(selection, None))
    }
}
