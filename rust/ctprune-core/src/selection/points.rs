//! Slices as points: what selections compare that work on fingerprints and on embeddings alike.

use crate::similarity::cosine::Embeddings;
use crate::similarity::cosine::lanes::{Measured, Query};
use crate::similarity::hamming::{Fingerprints, distance};

/// Fingerprints or embeddings.
#[derive(Clone, Copy, Debug)]
pub enum Points<'a> {
    /// Compared by Hamming distance.
    Fingerprints(Fingerprints<'a>),
    /// Compared by cosine similarity.
    Embeddings(Embeddings<'a>),
}

impl Points<'_> {
    /// Number of points.
    pub fn len(&self) -> usize {
        match self {
            Self::Fingerprints(fingerprints) => fingerprints.len(),
            Self::Embeddings(embeddings) => embeddings.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the measure is a similarity: larger is closer.
    pub fn are_similarities(&self) -> bool {
        matches!(self, Self::Embeddings(_))
    }
}

/// For each point the kept one that stands for it, and how close they are.
#[derive(Clone, Debug, PartialEq)]
pub struct PointSelection {
    /// The point itself if kept, else its exemplar, or [`NO_EXEMPLAR`](super::NO_EXEMPLAR).
    pub exemplar: Vec<u32>,
    /// Hamming distance or cosine similarity to the exemplar: 0 or 1 if kept.
    pub measured: Vec<f32>,
}

impl PointSelection {
    /// Number of kept points.
    pub fn kept(&self) -> usize {
        (0u32..).zip(&self.exemplar).filter(|(row, e)| row == *e).count()
    }
}

/// A way to compare points.
pub(crate) trait Metric: Sync {
    /// A point that is held against others.
    type Query: Sync;

    /// The point as a query.
    fn query(&self, row: usize) -> Self::Query;

    /// How far apart two points are: the larger, the farther. It grows with a metric, and need not be one.
    fn apart(&self, query: &Self::Query, row: usize) -> f32;

    /// Where two centers are `apart`, no point that is at most the result from one of them is closer to the other.
    fn half(&self, apart: f32) -> f64;
}

/// Hamming distance.
pub(crate) struct Hamming<'a>(pub Fingerprints<'a>);

impl<'a> Metric for Hamming<'a> {
    type Query = &'a [u64];

    fn query(&self, row: usize) -> Self::Query {
        self.0.row(row)
    }

    fn apart(&self, query: &Self::Query, row: usize) -> f32 {
        distance(query, self.0.row(row)) as f32
    }

    fn half(&self, apart: f32) -> f64 {
        f64::from(apart) / 2.0
    }
}

/// The negative of the cosine similarity, which grows with the angle.
pub(crate) struct Cosine<'a>(pub Measured<'a>);

/// More than what rounding a similarity to `f32` can change an angle by, in radians.
const SLACK: f64 = 4e-4;

impl Metric for Cosine<'_> {
    type Query = Query;

    fn query(&self, row: usize) -> Self::Query {
        self.0.query(row)
    }

    fn apart(&self, query: &Self::Query, row: usize) -> f32 {
        -self.0.similarity(query, row)
    }

    fn half(&self, apart: f32) -> f64 {
        let angle = libm::acos(f64::from(-apart).clamp(-1.0, 1.0));
        let half = (angle - SLACK) / 2.0 - SLACK;
        if half > 0.0 {
            -libm::cos(half)
        } else {
            f64::NEG_INFINITY
        }
    }
}
