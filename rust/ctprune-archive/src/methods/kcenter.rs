//! k-center selection: the slice that is farthest from all that are kept comes next.

use super::by_points::{ByPoints, no_end};
use super::deep::COSINE;
use super::hash::HAMMING;
use super::{Default, Description, Request, Role, Share, Way};
use ctprune_core::selection::kcenter::{Stop, kcenter};
use ctprune_core::selection::kmeans::Device;
use ctprune_core::selection::{PointSelection, Points, SelectError};
use ctprune_core::watch::Watch;

pub(super) static KCENTER: Description = Description {
    name: "kcenter",
    drops: "distance to the nearest kept slice ≤ threshold, where the farthest slice is kept next",
    citation: "farthest-first k-center selection on {features} (Sener and Savarese 2018)",
    source: "Sener and Savarese 2018",
    fingerprint: None,
    measure: Some(HAMMING),
    on_embeddings: Some(COSINE),
    role: Role::Decides,
    options: &[
        ("threshold", Default::None),
        ("keep", Default::None),
        ("budget", Default::None),
        ("features", Default::Word("fingerprints")),
        ("weights", Default::None),
    ],
    way: Way::Points(|request| Box::new(KCenter::new(request))),
};

/// Keeps the farthest slice until none is farther than a threshold, or enough are kept.
struct KCenter {
    threshold: Option<f64>,
    share: Share,
}

impl KCenter {
    fn new(request: &Request) -> Self {
        Self {
            threshold: request.threshold,
            share: request.share,
        }
    }
}

impl ByPoints for KCenter {
    fn choose(
        &self,
        points: Points<'_>,
        groups: &[usize],
        _device: Option<&dyn Device>,
        watch: &Watch,
    ) -> Result<(Option<f64>, PointSelection), SelectError> {
        let count = self.share.count(points.len()).map(Stop::Count);
        let stop = self.threshold.map(Stop::Threshold).or(count);
        let stop = stop.ok_or_else(|| no_end("a fraction, a number of slices or a threshold"))?;
        let (threshold, selection) = kcenter(points, groups, stop, watch)?;
        Ok((Some(threshold), selection))
    }
}
