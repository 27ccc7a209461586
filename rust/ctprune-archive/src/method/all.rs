//! Keep everything: the baseline.

use super::{Choice, Method, Slices, Stopped, Tick};

/// Keeps every slice.
pub struct All;

impl Method for All {
    fn select(&self, slices: &Slices<'_>, _tick: &mut Tick<'_>) -> Result<Choice, Stopped> {
        Ok(Choice { exemplar: (0..slices.len() as u32).collect(), ..Choice::default() })
    }
}
