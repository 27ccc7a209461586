//! A seeded sample: the fair control at the same number of slices.

use super::hash::Hash;
use super::{Choice, Method, Slices, Tick};
use ctprune_core::select::{self, SelectError};

/// Keeps a random sample of each group; no kept slice covers a dropped one.
pub struct Random {
    /// Fraction of each group to keep; without it as many slices of each group as `like` keeps.
    pub keep: Option<f64>,
    /// The method whose number of slices is matched.
    pub like: Hash,
    /// The same seed gives the same sample on every machine.
    pub seed: u64,
}

impl Method for Random {
    fn select(&self, slices: Slices<'_>, tick: &mut Tick<'_>) -> Result<Choice, SelectError> {
        let selection = match self.keep {
            Some(fraction) => {
                // Rounded to the nearest number of slices, halves up.
                let size = |slices: usize| (fraction * slices as f64 + 0.5).floor() as usize;
                select::random(slices.groups, |group| size(group.len()), self.seed)?
            }
            None => {
                let (_, model) = self.like.exemplars(slices, tick)?;
                let kept =
                    |group: std::ops::Range<usize>| group.filter(|&slice| model.is_kept(slice)).count();
                select::random(slices.groups, kept, self.seed)?
            }
        };
        Ok(Choice {
            selection,
            threshold: None,
        })
    }
}
