//! Bounds of distances between directions, rounding included.

/// A distance between directions as a whole number: 2 is the largest.
pub(super) const SCALE: f32 = 16_000.0;

/// Squares of distances that differ by more come from similarities that differ, rounding included.
const CLEAR: f32 = 2e-6;

/// A step up that covers the rounding of a few operations.
pub(super) const UP: f32 = 1.0 + 1.0 / 1_048_576.0;

/// How far two centroids are apart at most; more than all distances where one has no length.
pub(super) fn apart(a: &[f32], b: &[f32]) -> f32 {
    if a == b {
        return 0.0;
    }
    if [a, b]
        .iter()
        .any(|numbers| numbers.iter().all(|&number| number == 0.0))
    {
        return 4.0;
    }
    let squares = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    squares.sum::<f64>().sqrt() as f32 * UP
}

/// The largest distance that an estimate may stand for.
pub(super) fn at_most(estimate: f32, error: f32) -> f32 {
    (2.0 - 2.0 * (estimate - error)).max(0.0).sqrt() * UP
}

/// The smallest distance that an estimate may stand for, in parts of [`SCALE`].
pub(super) fn at_least(estimate: f32, error: f32) -> u16 {
    ((2.0 - 2.0 * (estimate + error)).max(0.0).sqrt() / UP * SCALE) as u16
}

/// Whether a vector that is at most `own` from its centroid is clearly farther from one that is at least `other` away.
pub(super) fn is_farther(other: u16, own: f32) -> bool {
    let other = f32::from(other) / SCALE / UP;
    other * other - own * own > CLEAR
}
