//! The threshold that keeps a wanted share of the slices.

use super::{dataset_exemplars, near_exemplars};
use crate::selection::keep_fraction::{check_fraction, nearest_radius};
use crate::selection::{Reach, SelectError, Selection};
use crate::similarity::hamming::Fingerprints;
use std::ops::ControlFlow;

/// What slices are compared with.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Those of their volume within reach; the offsets of the volumes as in [`volume_exemplars`](super::volume_exemplars).
    Volumes(&'a [usize], Reach<'a>),
    /// All.
    Dataset,
}

/// Finds the threshold whose kept fraction comes nearest to `fraction`, ties to the smaller threshold, and its
/// selection.
///
/// `fraction` is in (0, 1]. `progress` is called with the number of slices decided on at the threshold being tried, at
/// least once per threshold; if it breaks, the result is [`SelectError::Stopped`].
pub fn threshold_for_keep(
    fingerprints: Fingerprints<'_>,
    scope: Scope<'_>,
    fraction: f64,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<(u32, Selection), SelectError> {
    check_fraction(fraction)?;
    let wanted = fraction * fingerprints.len() as f64;
    let radii: Vec<f64> = (0..=fingerprints.bits()).map(f64::from).collect();
    // With a bound on the gap, closeness is no metric: no radius tells anything about another.
    let slack = match scope {
        Scope::Volumes(_, reach) if reach.is_bounded() => f64::INFINITY,
        _ => 0.0,
    };
    let (threshold, selection) = nearest_radius(&radii, slack, wanted, |threshold| {
        let selection = select(fingerprints, scope, threshold as u32, progress)?;
        Ok((selection.kept(), selection))
    })?;
    Ok((threshold as u32, selection))
}

fn select(
    fingerprints: Fingerprints<'_>,
    scope: Scope<'_>,
    threshold: u32,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Selection, SelectError> {
    match scope {
        Scope::Dataset => dataset_exemplars(fingerprints, threshold, progress),
        Scope::Volumes(starts, reach) => {
            let selection = near_exemplars(fingerprints, starts, threshold, reach)?;
            match progress(fingerprints.len()) {
                ControlFlow::Continue(()) => Ok(selection),
                ControlFlow::Break(()) => Err(SelectError::Stopped),
            }
        }
    }
}
