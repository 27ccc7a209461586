//! Semantic deduplication: the greedy exemplar rule within clusters of embeddings, approximate.

use super::by_points::{ByPoints, embeddings_of, no_end};
use super::deep::COSINE;
use super::{Default, Description, Request, Role, Way};
use ctprune_core::selection::kmeans::{Device, OnDevice};
use ctprune_core::selection::semdedup::{Until, semdedup};
use ctprune_core::selection::{PointSelection, Points, SelectError};
use ctprune_core::watch::Watch;

pub(super) static SEMDEDUP: Description = Description {
    name: "semdedup",
    drops: "cosine similarity of two embeddings of one cluster ≥ threshold (approximate)",
    citation: "semantic deduplication of embeddings of a network in {clusters}, approximate (Abbas et al. 2023)",
    source: "Abbas et al. 2023",
    fingerprint: None,
    measure: Some(COSINE),
    on_embeddings: None,
    role: Role::Decides,
    options: &[
        ("threshold", Default::None),
        ("keep", Default::None),
        ("budget", Default::None),
        ("clusters", Default::None),
        ("seed", Default::Whole(0)),
        ("weights", Default::None),
    ],
    way: Way::Points(|request| Box::new(SemDeDup(request.clone()))),
};

struct SemDeDup(Request);

impl ByPoints for SemDeDup {
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
        let fraction = self.0.share.fraction(points.len()).map(Until::Fraction);
        let until = self.0.threshold.map(Until::Threshold).or(fraction);
        let until = until.ok_or_else(|| no_end("a fraction, a number of slices or a threshold"))?;
        let clusters = self.0.clusters_of(points.len());
        let (threshold, selection) = semdedup(vectors, clusters, self.0.seed, until, watch)?;
        Ok((Some(threshold), selection))
    }
}
