//! The threshold that keeps a wanted share of the slices.

use super::{CosineSelection, exemplars};
use crate::selection::keep_fraction::{check_fraction, nearest_radius};
use crate::selection::{Reach, SelectError};
use crate::similarity::cosine::Embeddings;
use crate::watch::Watch;

/// Angles per halving.
const STEPS: i32 = 16;

/// Halvings of 90 degrees: down to 0.35.
const HALVINGS: i32 = 8;

/// More than what rounding a similarity to `f32` can change an angle of the grid by, in degrees.
const SLACK: f64 = 0.02;

/// The angles that are tried, in degrees, ascending: 0, and 90 × 2^(−j / 16) for j from 128 to 0.
pub fn angles() -> Vec<f64> {
    let halved = (0..=STEPS * HALVINGS).rev();
    let steps = halved.map(|j| 90.0 * libm::exp2(-f64::from(j) / f64::from(STEPS)));
    std::iter::once(0.0).chain(steps).collect()
}

/// The cosine of an angle of the grid; that of 90 degrees is 0 and not what rounding leaves.
pub(in crate::selection) fn threshold_of(degrees: f64) -> f64 {
    if degrees == 90.0 {
        0.0
    } else {
        libm::cos(degrees.to_radians())
    }
}

/// The cosines that are tried, ascending: those of [`angles`].
pub fn grid() -> Vec<f64> {
    angles().into_iter().rev().map(threshold_of).collect()
}

/// Finds among the cosines of [`angles`] the one whose kept fraction comes nearest to `fraction`, ties to the smaller
/// angle, and its selection.
///
/// Angles are a metric, so what holds for Hamming distances holds for them: see [`nearest_radius`]. With a bound on the
/// gap they are none, and all are tried.
/// Once `watch` is stopped, the result is [`SelectError::Stopped`].
pub fn threshold_for_keep(
    embeddings: Embeddings<'_>,
    starts: &[usize],
    fraction: f64,
    reach: Reach<'_>,
    watch: &Watch,
) -> Result<(f64, CosineSelection), SelectError> {
    check_fraction(fraction)?;
    let wanted = fraction * embeddings.len() as f64;
    let angles = angles();
    let slack = if reach.is_bounded() { f64::INFINITY } else { SLACK };
    let (nearest, selection) = nearest_radius(&angles, slack, wanted, |index| {
        let selection = exemplars(embeddings, starts, threshold_of(angles[index]), reach, watch)?;
        Ok((selection.kept(), selection))
    })?;
    Ok((threshold_of(angles[nearest]), selection))
}
