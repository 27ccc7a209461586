//! How far along the body from a slice its exemplar may lie.

use super::SelectError;
use crate::option::OptionError;

/// Positions come from the cosines of headers and are off by less than this: a gap of 5 mm is not beyond 5 mm.
const SLACK_MM: f64 = 1e-3;

/// How far along the body from a slice its exemplar may lie: at most so many millimeters, or any number of them.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    bound: Option<(&'a [f64], f64)>,
}

impl<'a> Reach<'a> {
    /// As far as it likes.
    pub const ANY: Self = Self { bound: None };

    /// At most `max_gap_mm` from the slice; slices lie at `position_mm`, NaN where no one knows.
    pub fn within(position_mm: &'a [f64], max_gap_mm: f64) -> Result<Self, SelectError> {
        if max_gap_mm.is_finite() && max_gap_mm >= 0.0 {
            Ok(Self {
                bound: Some((position_mm, max_gap_mm)),
            })
        } else {
            Err(OptionError::new("max_gap_mm", "0 or more millimeters", max_gap_mm).into())
        }
    }

    /// Whether it has a bound.
    pub fn is_bounded(self) -> bool {
        self.bound.is_some()
    }

    /// Whether `exemplar` may stand for `slice`; where one has no position, nothing speaks against it.
    #[inline(always)]
    pub fn allows(self, slice: usize, exemplar: usize) -> bool {
        match self.bound {
            None => true,
            Some((position_mm, most)) => {
                let gap = (position_mm[slice] - position_mm[exemplar]).abs();
                gap.is_nan() || gap <= most + SLACK_MM
            }
        }
    }

    /// Whether it refuses no pair of these slices, because they have no positions.
    pub(super) fn is_idle(self, slices: std::ops::Range<usize>) -> bool {
        self.bound
            .is_none_or(|(position_mm, _)| position_mm[slices].iter().all(|position| position.is_nan()))
    }

    /// The same for these slices alone, numbered from 0.
    pub fn of(self, slices: std::ops::Range<usize>) -> Self {
        Self {
            bound: self.bound.map(|(position_mm, most)| (&position_mm[slices], most)),
        }
    }

    /// Refuses positions of another number of slices.
    pub(super) fn check(self, slices: usize) -> Result<(), SelectError> {
        match self.bound {
            Some((position_mm, _)) if position_mm.len() != slices => Err(SelectError::Positions {
                expected: slices,
                found: position_mm.len(),
            }),
            _ => Ok(()),
        }
    }
}
