//! A seeded sample: the fair control at the same number of slices.

use super::hash::Hash;
use super::{Choice, Method, Slices, Stopped, Tick, stopped};
use ctprune_core::select::{self, NO_EXEMPLAR, SampleSize, Selection};

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
    fn select(&self, slices: &Slices<'_>, tick: &mut Tick<'_>) -> Result<Choice, Stopped> {
        let selection = match self.keep {
            Some(fraction) => select::random(slices.groups, SampleSize::Fraction(fraction), self.seed),
            None => self.matched(slices, tick),
        };
        Ok(Choice { exemplar: selection.map_err(stopped)?.exemplar, ..Choice::default() })
    }
}

impl Random {
    fn matched(&self, slices: &Slices<'_>, tick: &mut Tick<'_>) -> Result<Selection, select::SelectError> {
        let (_, model) = self.like.exemplars(slices, tick)?;
        let mut exemplar = vec![NO_EXEMPLAR; slices.len()];
        let mut distance = vec![select::NO_DISTANCE; slices.len()];
        for group in slices.groups.windows(2) {
            let count = (group[0]..group[1]).filter(|&slice| model.is_kept(slice)).count();
            // One group at a time, but numbered as in the whole, so that groups do not share their ranks.
            let sample = select::random(&[0, group[0], group[1]], SampleSize::Count(count), self.seed)?;
            exemplar[group[0]..group[1]].copy_from_slice(&sample.exemplar[group[0]..group[1]]);
            distance[group[0]..group[1]].copy_from_slice(&sample.distance[group[0]..group[1]]);
        }
        Ok(Selection { exemplar, distance })
    }
}
