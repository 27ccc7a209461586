//! The threshold that keeps a wanted share of the slices, in any metric.
//!
//! The number kept need not fall as the radius grows: a slice that a smaller radius kept may have covered what now
//! stays. So bisection is not exact. What does hold is that radius `2r` and any above keep at most as many as
//! `r`: of two rows kept at `2r` or more, which are further apart than that, one row kept at `r` cannot cover
//! both, so each has one of its own. Hence a radius that keeps too many rules out those up to its half, one that
//! keeps too few those from its double on; every other radius is tried.

use super::SelectError;
use crate::option::OptionError;

/// Refuses a fraction to keep that is not in (0, 1].
pub(super) fn check_fraction(fraction: f64) -> Result<(), OptionError> {
    if fraction > 0.0 && fraction <= 1.0 {
        Ok(())
    } else {
        Err(OptionError::new(
            "keep",
            "a fraction above 0 and up to 1",
            fraction,
        ))
    }
}

/// Index of the number kept that comes nearest to `wanted`, ties to the first; the numbers need not fall.
pub fn nearest_kept(kept: impl IntoIterator<Item = usize>, wanted: f64) -> Option<usize> {
    let excess = kept.into_iter().map(|kept| (kept as f64 - wanted).abs());
    let nearest = excess.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
    nearest.map(|(index, _)| index)
}

/// Finds, among ascending radii, the one that keeps nearest to `wanted` slices, ties to the smaller; there is at least
/// one.
///
/// `select` gives the number kept and the selection at the radius of an index. `slack` is how far off a measured
/// distance may be; with an infinite one every radius is tried.
pub(super) fn nearest_radius<S>(
    radii: &[f64],
    slack: f64,
    wanted: f64,
    mut select: impl FnMut(usize) -> Result<(usize, S), SelectError>,
) -> Result<(usize, S), SelectError> {
    let mut candidates: Vec<usize> = (0..radii.len()).collect();
    let mut best: Option<(Trial, usize, S)> = None;
    let mut tried: Vec<Trial> = Vec::new();
    while let Some(index) = next(radii, &candidates) {
        let (kept, selection) = select(index)?;
        let trial = Trial {
            radius: radii[index],
            slack,
            excess: kept as f64 - wanted,
        };
        candidates.retain(|&candidate| candidate != index);
        tried.push(trial);
        if best.as_ref().is_none_or(|(best, ..)| trial.beats(best)) {
            best = Some((trial, index, selection));
        }
        if let Some((best, ..)) = &best {
            candidates
                .retain(|&candidate| tried.iter().all(|trial| !trial.rules_out(radii[candidate], best)));
        }
    }
    let (_, index, selection) = best.expect("the last candidate left is always tried");
    Ok((index, selection))
}

/// The candidate to try: halves the range on a logarithmic scale, larger first, being faster.
fn next(radii: &[f64], candidates: &[usize]) -> Option<usize> {
    let (first, last) = (radii[*candidates.first()?], radii[*candidates.last()?]);
    let middle = ((first + 1.0) * (last + 1.0)).sqrt() - 1.0;
    candidates
        .iter()
        .copied()
        .find(|&candidate| radii[candidate] >= middle)
        .or(candidates.last().copied())
}

/// A radius and how many slices more than wanted it keeps.
#[derive(Clone, Copy)]
struct Trial {
    radius: f64,
    slack: f64,
    excess: f64,
}

impl Trial {
    fn beats(&self, other: &Trial) -> bool {
        let (own, others) = (self.excess.abs(), other.excess.abs());
        own < others || (own == others && self.radius < other.radius)
    }

    /// Whether this trial shows that `candidate` is further off than `best`. Not if it may be as far: ties
    /// go to the smaller radius.
    fn rules_out(&self, candidate: f64, best: &Trial) -> bool {
        let further = self.excess.abs() > best.excess.abs();
        further
            && if self.excess > 0.0 {
                2.0 * (candidate + self.slack) <= self.radius - self.slack
            } else {
                candidate - self.slack >= 2.0 * (self.radius + self.slack)
            }
    }
}
