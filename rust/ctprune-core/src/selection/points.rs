//! Slices as points: what selections compare that work on fingerprints and on embeddings alike.

use crate::similarity::cosine::Embeddings;
use crate::similarity::cosine::estimate::{Directions, error, estimates};
use crate::similarity::cosine::lanes::Measured;
use crate::similarity::hamming::Fingerprints;
use rayon::prelude::*;

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

/// A way to compare points with those that are kept, the centers.
pub(crate) trait Metric: Sync {
    /// Centers in the order in which they were kept, ready to be compared with.
    type Centers: Sync;

    /// No centers yet.
    fn no_centers(&self) -> Self::Centers;

    /// Keeps another point.
    fn add(&self, centers: &mut Self::Centers, row: usize);

    /// For each center but the last: no point that is at most so far from it is closer to the last.
    fn halves(&self, centers: &Self::Centers) -> Vec<f32>;

    /// For each point, which is `apart` from its own center, the first of the nearest among `which`, ascending, and how
    /// far that is, if it is closer.
    fn closer(
        &self,
        centers: &Self::Centers,
        points: &[(u32, f32)],
        which: &[u32],
    ) -> Vec<Option<(u32, f32)>>;
}

/// Hamming distance.
pub(crate) struct Hamming<'a>(pub Fingerprints<'a>);

impl Metric for Hamming<'_> {
    type Centers = Vec<u32>;

    fn no_centers(&self) -> Vec<u32> {
        Vec::new()
    }

    fn add(&self, centers: &mut Vec<u32>, row: usize) {
        centers.push(row as u32);
    }

    fn halves(&self, centers: &Vec<u32>) -> Vec<f32> {
        let Some((&last, others)) = centers.split_last() else {
            return Vec::new();
        };
        let half = |&center: &u32| self.0.distance(last as usize, center as usize) as f32 / 2.0;
        others.par_iter().with_min_len(AT_ONCE).map(half).collect()
    }

    fn closer(&self, centers: &Vec<u32>, points: &[(u32, f32)], which: &[u32]) -> Vec<Option<(u32, f32)>> {
        let closer = |&(row, mut apart): &(u32, f32)| {
            let mut found = None;
            for &center in which {
                let distance = self.0.distance(row as usize, centers[center as usize] as usize) as f32;
                if distance < apart {
                    apart = distance;
                    found = Some((center, distance));
                }
            }
            found
        };
        points.iter().map(closer).collect()
    }
}

/// Comparisons with one center that a thread makes before another may take over.
const AT_ONCE: usize = 2048;

/// Points that are compared with centers at a time.
const BLOCK: usize = 64;

/// The negative of the cosine similarity, which grows with the angle.
pub(crate) struct Cosine<'a>(pub Measured<'a>);

impl Cosine<'_> {
    /// The negative of the similarity of two rows; never a negative zero.
    pub fn apart(&self, a: usize, b: usize) -> f32 {
        0.0 - self.0.similarity(a, b)
    }
}

/// More than what rounding a similarity to `f32` can change an angle by, in radians.
const SLACK: f64 = 4e-4;

/// The cosine of half the angle whose cosine is `similarity` at most, less the slack of three angles; rounded up.
fn half_of(similarity: f64) -> f64 {
    let cosine = similarity.clamp(-1.0, 1.0);
    let (cos, sin) = (((1.0 + cosine) / 2.0).sqrt(), ((1.0 - cosine) / 2.0).sqrt());
    cos + 1.5 * SLACK * sin + 1e-12
}

impl Metric for Cosine<'_> {
    type Centers = (Vec<u32>, Directions);

    fn no_centers(&self) -> Self::Centers {
        (Vec::new(), Directions::new(self.0.features()))
    }

    fn add(&self, centers: &mut Self::Centers, row: usize) {
        centers.0.push(row as u32);
        self.0.push(&mut centers.1, row);
    }

    fn halves(&self, (rows, directions): &Self::Centers) -> Vec<f32> {
        let Some(last) = rows.len().checked_sub(1) else {
            return Vec::new();
        };
        let error = f64::from(error(self.0.features()));
        let others: Vec<u32> = (0..last as u32).collect();
        let halves = others.par_chunks(AT_ONCE).flat_map_iter(|others| {
            let mut near = Vec::new();
            estimates(directions, others, directions, &[last as u32], &mut near);
            // Rounded down: a smaller number rules out fewer points.
            near.into_iter()
                .map(|estimate| -half_of(f64::from(estimate) + error) as f32 - f32::EPSILON)
        });
        halves.collect()
    }

    fn closer(
        &self,
        (rows, directions): &Self::Centers,
        points: &[(u32, f32)],
        which: &[u32],
    ) -> Vec<Option<(u32, f32)>> {
        let error = error(self.0.features());
        let mut found = Vec::with_capacity(points.len());
        let mut near = Vec::new();
        let mut block = Directions::new(self.0.features());
        for points in points.chunks(BLOCK) {
            block.clear();
            for &(row, _) in points {
                self.0.push(&mut block, row as usize);
            }
            let all: Vec<u32> = (0..points.len() as u32).collect();
            estimates(&block, &all, directions, which, &mut near);
            for (&(row, mut apart), near) in points.iter().zip(near.chunks_exact(which.len())) {
                // What may be the nearest, and nearer than the own center.
                let most = near.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let least = (most - 2.0 * error).max(-apart - error);
                let mut closer = None;
                for (&center, &estimate) in which.iter().zip(near) {
                    if estimate >= least {
                        let exact = self.apart(row as usize, rows[center as usize] as usize);
                        if exact < apart {
                            apart = exact;
                            closer = Some((center, exact));
                        }
                    }
                }
                found.push(closer);
            }
        }
        found
    }
}
