//! The nearest centroids by a device, such as a GPU, that computes fast and in single precision. What its rounding
//! leaves open is decided by the exact similarity, so that the answer is the processor's own to the bit.

use super::nearest::{ROWS, Targets};
use super::vectors::{Centroids, Device, Guesses, Vectors};
use crate::selection::SelectError;
use crate::similarity::cosine::Embeddings;
use crate::watch::Watch;
use rayon::prelude::*;

/// Numbers that a device is asked about at a time: 64 MiB of halves.
const NUMBERS: usize = 1 << 25;

/// Embeddings, and a device that has them as well, if there is one.
#[derive(Clone, Copy)]
pub struct OnDevice<'a> {
    /// The embeddings.
    pub embeddings: Embeddings<'a>,
    /// What compares them with centroids.
    pub device: Option<&'a dyn Device>,
}

impl<'a> From<Embeddings<'a>> for OnDevice<'a> {
    fn from(embeddings: Embeddings<'a>) -> Self {
        Self {
            embeddings,
            device: None,
        }
    }
}

impl Vectors for OnDevice<'_> {
    fn len(&self) -> usize {
        self.embeddings.len()
    }

    fn features(&self) -> usize {
        Vectors::features(&self.embeddings)
    }

    fn scale(&self, row: usize) -> f64 {
        self.embeddings.scale(row)
    }

    fn scaled(&self, row: usize, scale: f64, out: &mut [f32]) {
        self.embeddings.scaled(row, scale, out);
    }

    fn device(&self) -> Option<&dyn Device> {
        self.device
    }
}

/// Where a device's product of a row of length 1 is larger by more than this, so is the similarity.
///
/// With `n` features and u = 2⁻²⁴: halves and centroids are exact for the device, and a sum of n products, in any order,
/// fused or not, is off by at most nu / (1 − nu) times both lengths (Higham, Accuracy and Stability of Numerical
/// Algorithms, 2002, chapter 3). The similarity is that of a row whose numbers were rounded (u), summed in `f64` and
/// rounded (u); the difference of two products is rounded (u); a centroid is no longer than 1 + u. Numbers too small for
/// `f32` add less than 10⁻²⁸. So (n + 4)u for each of two products would do; this is a quarter more, and 12 roundings.
pub(super) fn error(features: usize) -> f64 {
    let roundings = (features + 16) as f64 / 16_777_216.0;
    2.5 * roundings / (1.0 - roundings).max(0.0)
}

/// The nearest centroid of each of these rows, as [`Targets::nearest`] finds it; `None` where no device can say.
pub(super) fn nearest<V: Vectors>(
    device: Option<&dyn Device>,
    vectors: &V,
    rows: &[u32],
    centroids: &Centroids,
    targets: &Targets,
    watch: &Watch,
) -> Result<Option<Vec<u32>>, SelectError> {
    let Some(device) = device else {
        return Ok(None);
    };
    let mut cluster = Vec::with_capacity(rows.len());
    for rows in rows.chunks((NUMBERS / vectors.features()).max(1)) {
        let guesses = device.nearest(rows, centroids);
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        let Some(guesses) = guesses else {
            return Ok(None);
        };
        cluster.extend(settled(guesses, vectors, rows, targets));
    }
    Ok(Some(cluster))
}

/// The clusters that a device found, those that its rounding leaves open decided exactly.
fn settled<V: Vectors>(guesses: Guesses, vectors: &V, rows: &[u32], targets: &Targets) -> Vec<u32> {
    let error = error(vectors.features());
    let Guesses { mut cluster, margin } = guesses;
    let is_open = |at: &usize| {
        let margin = f64::from(margin[*at]) * vectors.scale(rows[*at] as usize);
        // Also where it is not a number.
        margin.partial_cmp(&error) != Some(std::cmp::Ordering::Greater)
    };
    let open: Vec<usize> = (0..rows.len()).into_par_iter().filter(is_open).collect();
    let exactly = |open: &[usize]| {
        let rows: Vec<u32> = open.iter().map(|&at| rows[at]).collect();
        targets.nearest(vectors, &rows)
    };
    let exact: Vec<Vec<(u32, f32)>> = open.par_chunks(ROWS).map(exactly).collect();
    for (at, (number, _)) in open.into_iter().zip(exact.into_iter().flatten()) {
        cluster[at] = number;
    }
    cluster
}
