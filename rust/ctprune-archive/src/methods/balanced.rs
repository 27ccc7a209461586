//! Hierarchical k-means with balanced sampling: as many slices from every part of the space of embeddings.

use super::by_points::{ByPoints, embeddings_of, no_end};
use super::deep::COSINE;
use super::{Default, Description, Request, Role, Way};
use ctprune_core::selection::balanced::balanced;
use ctprune_core::selection::kmeans::{Device, OnDevice};
use ctprune_core::selection::{PointSelection, Points, SelectError};
use ctprune_core::watch::Watch;

pub(super) static BALANCED: Description = Description {
    name: "balanced",
    drops: "not in a seeded sample of the same number from every cluster of embeddings, level by level",
    citation: "balanced sampling from hierarchical k-means of embeddings of a network, {clusters} at the lowest level \
               (Vo et al. 2024; seed {seed})",
    source: "Vo et al. 2024",
    fingerprint: None,
    measure: Some(COSINE),
    on_embeddings: None,
    role: Role::Sizes,
    options: &[
        ("keep", Default::None),
        ("budget", Default::None),
        ("clusters", Default::None),
        ("seed", Default::Whole(0)),
        ("weights", Default::None),
    ],
    way: Way::Points(|request| Box::new(Balanced(request.clone()))),
};

struct Balanced(Request);

impl ByPoints for Balanced {
    fn choose(
        &self,
        points: Points<'_>,
        groups: &[usize],
        device: Option<&dyn Device>,
        watch: &Watch,
    ) -> Result<(Option<f64>, PointSelection), SelectError> {
        let vectors = OnDevice {
            embeddings: embeddings_of(points, groups)?,
            device,
        };
        let count = self.0.share.count(points.len());
        let count = count.ok_or_else(|| no_end("a fraction or a number of slices"))?;
        let clusters = self.0.clusters_of(points.len());
        let selection = balanced(vectors, clusters, count, self.0.seed, watch)?;
        Ok((None, selection))
    }
}
