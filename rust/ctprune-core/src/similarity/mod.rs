//! Similarity of two slices by their pixels, and the greedy exemplar rule on it.
//!
//! A [`Measure`] prepares each slice once; a pair then costs what only the pair can tell. [`leader`] walks through a
//! volume at many thresholds in one pass. [`naive`] holds both as plain sentences, and the fast ways give its answer.

pub mod leader;
pub mod mi;
pub mod naive;
pub mod ssim;
#[cfg(test)]
mod tests;

/// 8-bit grey pixels of one slice, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// `rows × columns` grey values.
    pub pixels: &'a [u8],
}

/// A similarity of two slices of one size.
pub trait Measure: Sync {
    /// What is known of a slice before it is compared.
    type Prepared: Send + Sync;

    /// Prepares a slice; `Err` says why it cannot be compared.
    fn prepare(&self, picture: Picture<'_>) -> Result<Self::Prepared, String>;

    /// Compares two slices of one size: the similarity, or a bound that shows that it is below `threshold`.
    fn compare(&self, a: &Self::Prepared, b: &Self::Prepared, threshold: f64) -> Verdict;

    /// The similarity of two slices of one size.
    fn similarity(&self, a: &Self::Prepared, b: &Self::Prepared) -> f64 {
        match self.compare(a, b, f64::NEG_INFINITY) {
            Verdict::Exact(similarity) | Verdict::AtMost(similarity) => similarity,
        }
    }
}

/// What comparing a pair with a threshold found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The similarity, on either side of the threshold.
    Exact(f64),
    /// The similarity is at most this, and this is below the threshold.
    AtMost(f64),
}

/// The similarity as a manifest holds it, which is what thresholds are compared with.
pub(crate) fn rounded(similarity: f64) -> f32 {
    similarity as f32
}
