//! Cosine similarity of embeddings.
//!
//! Embeddings are half-precision numbers. Their products are exact in `f64`; a sum is taken in the order of the
//! features and the similarity is rounded to `f32` at the end, so that equal embeddings have similarity 1. Selections
//! compare by [`estimate`] what that is enough for, and the rest exactly: they agree with [`similarity`] to the bit, at
//! any number of threads.

mod error;
pub(crate) mod estimate;
pub(crate) mod lanes;

pub use error::EmbeddingError;

use half::f16;

/// Embeddings of equal length, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings<'a> {
    features: usize,
    numbers: &'a [f16],
}

impl<'a> Embeddings<'a> {
    /// Takes `numbers` as embeddings of `features` numbers each; refuses numbers that are not finite.
    pub fn new(features: usize, numbers: &'a [f16]) -> Result<Self, EmbeddingError> {
        if features == 0 || !numbers.len().is_multiple_of(features) {
            return Err(EmbeddingError::Shape {
                features,
                found: numbers.len(),
            });
        }
        match numbers.iter().position(|number| !number.is_finite()) {
            Some(index) => Err(EmbeddingError::NotFinite {
                row: index / features,
            }),
            None => Ok(Self { features, numbers }),
        }
    }

    /// Number of embeddings.
    pub fn len(&self) -> usize {
        self.numbers.len() / self.features
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Numbers of one embedding.
    pub(crate) fn features(&self) -> usize {
        self.features
    }

    /// Other numbers as embeddings of as many features; all of them finite, as those of these are.
    pub(crate) fn same_features<'b>(&self, numbers: &'b [f16]) -> Embeddings<'b> {
        Embeddings {
            features: self.features,
            numbers,
        }
    }

    /// The numbers of one embedding.
    fn row(&self, row: usize) -> impl Iterator<Item = f32> + Clone + 'a {
        let numbers = &self.numbers[row * self.features..][..self.features];
        // The conversion in registers: that of `to_f32` asks for the instruction set at each number.
        numbers.iter().map(|&number| lanes::widened(number))
    }

    /// The Euclidean length of one embedding.
    fn length(&self, row: usize) -> f64 {
        self.row(row)
            .fold(0.0, |sum, x| sum + f64::from(x) * f64::from(x))
            .sqrt()
    }
}

/// Cosine similarity of rows `a` and `b`, word for word.
pub fn similarity(embeddings: Embeddings<'_>, a: usize, b: usize) -> f32 {
    let products = embeddings.row(a).zip(embeddings.row(b));
    let dot = products.fold(0.0, |sum, (x, y)| sum + f64::from(x) * f64::from(y));
    cosine(dot, embeddings.length(a), embeddings.length(b))
}

/// The cosine from a sum of products and two lengths; 0 where a length is 0, as nothing is known of such a row.
fn cosine(dot: f64, a: f64, b: f64) -> f32 {
    let lengths = a * b;
    if lengths > 0.0 {
        (dot / lengths) as f32
    } else {
        0.0
    }
}
