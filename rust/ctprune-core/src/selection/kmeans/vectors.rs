//! What can be clustered: directions, each given as a vector of length 1; and what may compare them elsewhere.

use crate::similarity::cosine::Embeddings;
use crate::similarity::cosine::lanes::{halves, scale_of, scaled, square};
use ctprune_cpu::Cpu;

/// Vectors of the same number of features.
pub trait Vectors: Sync {
    /// Number of vectors.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of one vector.
    fn features(&self) -> usize;

    /// What the vector is to be multiplied by so that it has length 1; 0 for one of length 0.
    fn scale(&self, row: usize) -> f64;

    /// Writes the vector, multiplied by this.
    fn scaled(&self, row: usize, scale: f64, out: &mut [f32]);

    /// Writes the vector, scaled to length 1; one of length 0 is zeros.
    fn unit(&self, row: usize, out: &mut [f32]) {
        self.scaled(row, self.scale(row), out);
    }

    /// What can compare them with centroids faster, if anything.
    fn device(&self) -> Option<&dyn Device> {
        None
    }
}

impl Vectors for Embeddings<'_> {
    fn len(&self) -> usize {
        Embeddings::len(self)
    }

    fn features(&self) -> usize {
        Embeddings::features(self)
    }

    fn scale(&self, row: usize) -> f64 {
        scale_of(square(Cpu::detect(), halves(*self, row)).sqrt())
    }

    fn scaled(&self, row: usize, scale: f64, out: &mut [f32]) {
        scaled(Cpu::detect(), halves(*self, row), scale, out);
    }
}

/// Directions that clusters are around.
#[derive(Clone, Debug, PartialEq)]
pub struct Centroids {
    features: usize,
    numbers: Vec<f32>,
}

impl Centroids {
    pub(super) fn empty(features: usize) -> Self {
        Self {
            features,
            numbers: Vec::new(),
        }
    }

    /// Some rows, each as one.
    pub(super) fn of_rows<V: Vectors>(vectors: &V, rows: &[u32]) -> Self {
        let mut centroids = Self::empty(vectors.features());
        let mut numbers = vec![0.0; vectors.features()];
        for &row in rows {
            vectors.unit(row as usize, &mut numbers);
            centroids.push(&numbers);
        }
        centroids
    }

    pub(super) fn push(&mut self, numbers: &[f32]) {
        self.numbers.extend_from_slice(numbers);
    }

    /// The numbers of one.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.numbers[row * self.features..][..self.features]
    }
}

impl Vectors for Centroids {
    fn len(&self) -> usize {
        self.numbers.len() / self.features
    }

    fn features(&self) -> usize {
        self.features
    }

    /// They have length 1 already.
    fn scale(&self, _row: usize) -> f64 {
        1.0
    }

    fn scaled(&self, row: usize, _scale: f64, out: &mut [f32]) {
        out.copy_from_slice(self.row(row));
    }
}

/// Compares embeddings that it has with centroids.
pub trait Device: Sync {
    /// The nearest of at least one centroid for each of these rows; `None` once it can compare no more.
    fn nearest(&self, rows: &[u32], centroids: &Centroids) -> Option<Guesses>;
}

/// What a device found for some rows. Products are those of the embeddings as they are, not scaled to length 1, with the
/// centroids: sums of `f32` in any order.
#[derive(Clone, Debug, PartialEq)]
pub struct Guesses {
    /// Number of the centroid with the largest product, any one among equals.
    pub cluster: Vec<u32>,
    /// By how much its product is larger than that of any other centroid.
    pub margin: Vec<f32>,
}

/// The direction of a sum; `None` where it has no length.
pub(super) fn direction(sums: &[f64]) -> Option<Vec<f32>> {
    let length = sums.iter().fold(0.0, |sum, number| sum + number * number).sqrt();
    (length > 0.0).then(|| sums.iter().map(|sum| (sum / length) as f32).collect())
}
