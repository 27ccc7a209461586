//! How many slices to keep, where a number or a share of them was asked for.

/// A fraction or a number of the slices to keep, or neither.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Fraction to keep.
    pub keep: Option<f64>,
    /// Number to keep.
    pub budget: Option<usize>,
}

impl Share {
    /// The fraction of so many slices.
    pub(super) fn fraction(self, slices: usize) -> Option<f64> {
        let of_budget = |budget: usize| match slices {
            0 => 1.0,
            _ => budget.min(slices) as f64 / slices as f64,
        };
        self.keep.or(self.budget.map(of_budget))
    }

    /// The number of so many slices: a fraction is rounded, halves up.
    pub fn count(self, slices: usize) -> Option<usize> {
        match self.budget {
            Some(budget) => Some(budget.min(slices)),
            None => self
                .keep
                .map(|keep| (keep * slices as f64 + 0.5).floor() as usize),
        }
    }
}
