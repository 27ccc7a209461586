//! Facility location: the slices that are, together, closest to all.

use super::by_points::{ByPoints, no_end};
use super::deep::COSINE;
use super::hash::HAMMING;
use super::{Default, Description, Role, Share, Way};
use ctprune_core::selection::facility::facility;
use ctprune_core::selection::kmeans::Device;
use ctprune_core::selection::{PointSelection, Points, SelectError};
use ctprune_core::watch::Watch;

pub(super) static FACILITY: Description = Description {
    name: "facility",
    drops: "adds least to the sum of the similarities of all slices to the nearest kept one",
    citation: "facility location on the graph of nearest neighbors by {features} (Wei et al. 2015)",
    source: "Wei et al. 2015",
    fingerprint: None,
    measure: Some(HAMMING),
    on_embeddings: Some(COSINE),
    role: Role::Recorded,
    options: &[
        ("keep", Default::None),
        ("budget", Default::None),
        ("features", Default::Word("fingerprints")),
        ("weights", Default::None),
    ],
    way: Way::Points(|request| Box::new(Facility(request.share))),
};

struct Facility(Share);

impl ByPoints for Facility {
    fn choose(
        &self,
        points: Points<'_>,
        groups: &[usize],
        _device: Option<&dyn Device>,
        watch: &Watch,
    ) -> Result<(Option<f64>, PointSelection), SelectError> {
        let count = self.0.count(points.len());
        let count = count.ok_or_else(|| no_end("a fraction or a number of slices"))?;
        Ok((None, facility(points, groups, count, watch)?))
    }
}
