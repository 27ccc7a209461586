//! The radius that keeps a wanted share of the slices.
//!
//! The number kept need not fall as the radius grows: a slice that a smaller radius kept may have covered what now
//! stays. So bisection is not exact. What does hold is that radius `2r` and any above keep at most as many as
//! `r`: of two rows kept at `2r` or more, which are further apart than that, one row kept at `r` cannot cover
//! both, so each has one of its own. Hence a radius that keeps too many rules out those up to its half, one that
//! keeps too few those from its double on; every other radius is tried.

use super::{SelectError, Selection, check_radius, leader_in_dataset, leader_in_volumes};
use crate::hamming::Fingerprints;
use std::ops::ControlFlow;

/// What slices are compared with.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Those of their volume; the offsets of the volumes as in [`leader_in_volumes`].
    Volumes(&'a [usize]),
    /// All.
    Dataset,
}

/// Finds the radius whose kept fraction comes nearest to `fraction`, ties to the smaller radius, and its
/// selection.
///
/// `fraction` is in (0, 1]. `progress` is called with the number of rows decided on at the radius being tried, at
/// least once per radius; if it breaks, the result is [`SelectError::Cancelled`].
pub fn threshold_for_keep(
    fingerprints: Fingerprints<'_>,
    scope: Scope<'_>,
    fraction: f64,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<(u32, Selection), SelectError> {
    if !(fraction > 0.0 && fraction <= 1.0) {
        return Err(SelectError::Fraction { fraction });
    }
    let wanted = fraction * fingerprints.len() as f64;
    let lengths: Vec<f64> = (0..=fingerprints.bits()).map(f64::from).collect();
    let (radius, selection) = nearest_length(&lengths, 0.0, wanted, |radius| {
        let selection = select(fingerprints, scope, radius as u32, progress)?;
        Ok((selection.kept(), selection))
    })?;
    Ok((radius as u32, selection))
}

/// Finds, among ascending radii in any metric, the one that keeps nearest to `wanted` rows, ties to the smaller.
///
/// `select` gives the number kept and the selection at the radius of an index. `slack` is how far off a measured
/// distance may be.
pub(crate) fn nearest_length<S>(
    lengths: &[f64],
    slack: f64,
    wanted: f64,
    mut select: impl FnMut(usize) -> Result<(usize, S), SelectError>,
) -> Result<(usize, S), SelectError> {
    let mut candidates: Vec<usize> = (0..lengths.len()).collect();
    let mut best: Option<(Trial, usize, S)> = None;
    let mut tried: Vec<Trial> = Vec::new();
    while let Some(place) = next(lengths, &candidates) {
        let (kept, selection) = select(place)?;
        let trial = Trial {
            radius: lengths[place],
            slack,
            excess: kept as f64 - wanted,
        };
        candidates.retain(|&candidate| candidate != place);
        tried.push(trial);
        if best.as_ref().is_none_or(|(best, ..)| trial.beats(best)) {
            best = Some((trial, place, selection));
        }
        if let Some((best, ..)) = &best {
            candidates.retain(|&candidate| {
                tried
                    .iter()
                    .all(|trial| !trial.rules_out(lengths[candidate], best))
            });
        }
    }
    // Radius 0 at least was a candidate, and the last one left is always tried.
    best.map(|(_, place, selection)| (place, selection))
        .ok_or(SelectError::Fraction { fraction: wanted })
}

/// The candidate to try: halves the range on a logarithmic scale, larger first, being faster.
fn next(lengths: &[f64], candidates: &[usize]) -> Option<usize> {
    let (first, last) = (lengths[*candidates.first()?], lengths[*candidates.last()?]);
    let middle = ((first + 1.0) * (last + 1.0)).sqrt() - 1.0;
    candidates
        .iter()
        .copied()
        .find(|&candidate| lengths[candidate] >= middle)
        .or(candidates.last().copied())
}

fn select(
    fingerprints: Fingerprints<'_>,
    scope: Scope<'_>,
    radius: u32,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Selection, SelectError> {
    check_radius(fingerprints, radius)?;
    match scope {
        Scope::Dataset => leader_in_dataset(fingerprints, radius, progress),
        Scope::Volumes(starts) => {
            let selection = leader_in_volumes(fingerprints, starts, radius)?;
            let goes_on = progress(fingerprints.len()).is_continue();
            if goes_on {
                Ok(selection)
            } else {
                Err(SelectError::Cancelled)
            }
        }
    }
}

/// A radius and how many rows more than wanted it keeps.
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
