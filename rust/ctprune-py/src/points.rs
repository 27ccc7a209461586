//! `choose_points`.

use crate::fingerprint::{FingerprintArray, array};
use crate::interrupt::interruptible;
use crate::pool;
use crate::settings::value_error;
use ctprune_archive::methods::{Request, Share};
use ctprune_core::selection::Points;
use ctprune_core::similarity::cosine::Embeddings;
use ctprune_core::watch::Watch;
use half::f16;
use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// The threshold, and exemplar and measure of each point.
type Chosen<'py> = (Option<f64>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// Choose among points, as one of the methods does that compare them, within consecutive groups that start at `starts`:
/// embeddings, float16 of shape (n, features), or fingerprints, uint8 of shape (n, bytes). KeyboardInterrupt stops it.
#[pyfunction]
#[pyo3(signature = (points, starts, *, method, threshold, keep, budget, seed, clusters, threads))]
#[allow(clippy::too_many_arguments, reason = "keywords on the Python side")]
pub fn choose_points<'py>(
    py: Python<'py>,
    points: &Bound<'py, PyAny>,
    starts: Vec<usize>,
    method: String,
    threshold: Option<f64>,
    keep: Option<f64>,
    budget: Option<usize>,
    seed: Option<u64>,
    clusters: Option<usize>,
    threads: usize,
) -> PyResult<Chosen<'py>> {
    let request = Request {
        method,
        threshold,
        share: Share { keep, budget },
        n: 1,
        seed: seed.unwrap_or(0),
        clusters,
        window: String::new(),
        max_gap_mm: None,
    };
    let way = request.by_points().map_err(value_error)?;
    let (pool, watch) = (pool::pool(threads)?, Watch::default());
    let choose = |points: Points<'_>| {
        way.choose(points, &starts, &watch)
            .map_err(|error| error.to_string())
    };
    let chosen = if let Ok(embeddings) = points.extract::<PyReadonlyArray2<'py, f16>>() {
        let (features, numbers) = (embeddings.shape()[1], embeddings.as_slice()?);
        let work = || {
            let embeddings = Embeddings::new(features, numbers).map_err(|error| error.to_string())?;
            choose(Points::Embeddings(embeddings))
        };
        interruptible(py, &watch, |_| Ok(()), || pool.install(work))?
    } else {
        let all = FingerprintArray::borrow(points)?;
        let fingerprints = all.view()?;
        let work = || choose(Points::Fingerprints(fingerprints));
        interruptible(py, &watch, |_| Ok(()), || pool.install(work))?
    };
    let (threshold, selection) = chosen.map_err(value_error)?;
    Ok((
        threshold,
        array(py, &selection.exemplar),
        array(py, &selection.measured),
    ))
}
