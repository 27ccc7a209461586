//! Similarity of two slices of a volume by their pixels. One folder per measure.

/// Slices of one volume, prepared once, compared in pairs.
pub trait Pairwise: Sync {
    /// Memory that a thread reuses from pair to pair.
    type Scratch: Default + Send;

    /// Number of slices.
    fn slices(&self) -> usize;

    /// Whether slices `a` and `b` reach `threshold`: the similarity itself when they do, else what shows that
    /// they do not. Symmetric in `a` and `b` to the last bit.
    fn compare(&self, a: usize, b: usize, threshold: f64, scratch: &mut Self::Scratch) -> Verdict;

    /// The similarity of slices `a` and `b`.
    fn similarity(&self, a: usize, b: usize, scratch: &mut Self::Scratch) -> f64 {
        match self.compare(a, b, f64::NEG_INFINITY, scratch) {
            Verdict::Exact(similarity) => similarity,
            Verdict::AtMost(_) => unreachable!("every pair reaches minus infinity"),
        }
    }
}

/// What comparing a pair with a threshold found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The similarity, on either side of the threshold.
    Exact(f64),
    /// Below the threshold: the similarity is at most this, and this is less than the threshold.
    AtMost(f64),
}
