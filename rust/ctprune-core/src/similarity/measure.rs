//! Similarity of two slices by their pixels, whatever the measure.

use super::error::PictureError;

/// 8-bit gray pixels of one slice, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// `rows × columns` gray values.
    pub pixels: &'a [u8],
}

/// A similarity of two slices of one size.
pub trait Measure: Sync {
    /// What is known of a slice before it is compared.
    type Prepared<'a>: Send + Sync;

    /// Prepares a slice; refuses one that cannot be compared.
    ///
    /// `spare` was prepared before and is no longer needed: new memory would cost as much time as what goes into it.
    fn prepare<'a>(
        &self,
        picture: Picture<'a>,
        spare: Option<Self::Prepared<'a>>,
    ) -> Result<Self::Prepared<'a>, PictureError>;

    /// Compares two slices of one size: the similarity, or a bound that shows that it is below `threshold`.
    fn compare(&self, a: &Self::Prepared<'_>, b: &Self::Prepared<'_>, threshold: f64) -> Verdict;

    /// The similarities of each of some slices with each of others, all of one size, row by row.
    fn similarities(&self, a: &[Self::Prepared<'_>], b: &[Self::Prepared<'_>]) -> Vec<f64> {
        let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| self.similarity(a, b)).collect()
    }

    /// The similarity of two slices of one size.
    fn similarity(&self, a: &Self::Prepared<'_>, b: &Self::Prepared<'_>) -> f64 {
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
