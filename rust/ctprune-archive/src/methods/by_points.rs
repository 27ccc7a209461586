//! Methods that compare slices as points, be these fingerprints or embeddings.

use super::{Choice, Measured, Method, Slices};
use ctprune_core::option::OptionError;
use ctprune_core::selection::kmeans::Device;
use ctprune_core::selection::{PointSelection, Points, SelectError};
use ctprune_core::similarity::cosine::Embeddings;
use ctprune_core::watch::Watch;

/// A way to choose among points.
pub trait ByPoints: Send + Sync {
    /// Choose within groups, which start there; returns the threshold that was used, if there is one. `device` has the
    /// embeddings, if there is one; the result is the same with and without it.
    fn choose(
        &self,
        points: Points<'_>,
        groups: &[usize],
        device: Option<&dyn Device>,
        watch: &Watch,
    ) -> Result<(Option<f64>, PointSelection), SelectError>;
}

/// Such a way on the fingerprints of slices.
pub(super) struct OnFingerprints(pub Box<dyn ByPoints>);

impl Method for OnFingerprints {
    fn select(&self, slices: Slices<'_>, watch: &Watch) -> Result<Choice, SelectError> {
        let points = Points::Fingerprints(slices.fingerprints);
        let (threshold, selection) = self.0.choose(points, slices.groups, None, watch)?;
        Ok(Choice {
            exemplar: selection.exemplar,
            measured: Measured::Similarities(selection.measured),
            threshold,
            comparisons: None,
        })
    }
}

/// The embeddings of a method that clusters those of the whole dataset.
pub(super) fn embeddings_of<'a>(points: Points<'a>, groups: &[usize]) -> Result<Embeddings<'a>, SelectError> {
    match points {
        Points::Embeddings(embeddings) if groups.len() == 2 => Ok(embeddings),
        Points::Embeddings(_) => Err(OptionError::new("scope", "dataset", "volume").into()),
        Points::Fingerprints(_) => Err(OptionError::new("features", "embeddings", "fingerprints").into()),
    }
}

/// The error where neither a threshold nor a share says when to end.
pub(super) fn no_end(expected: &'static str) -> SelectError {
    OptionError::new("keep", expected, "none").into()
}
