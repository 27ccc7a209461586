//! `choose_points` and `retrieve_points`.

use crate::fingerprint::{FingerprintArray, array};
use crate::interrupt::interruptible;
use crate::nearest::PythonDevice;
use crate::pool;
use crate::settings::value_error;
use ctprune_archive::methods::{Request, Share};
use ctprune_core::selection::kmeans::Device;
use ctprune_core::selection::retrieval::retrieval;
use ctprune_core::selection::{PointSelection, Points};
use ctprune_core::similarity::cosine::Embeddings;
use ctprune_core::watch::Watch;
use half::f16;
use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// The threshold, and exemplar and measure of each point.
type Chosen<'py> = (Option<f64>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// Choose among points, as one of the methods does that compare them, within consecutive groups that start at `starts`:
/// embeddings, float16 of shape (n, features), or fingerprints, uint8 of shape (n, bytes). KeyboardInterrupt stops it.
///
/// `nearest` compares rows with centroids in place of the processor; see [`PythonDevice`].
#[pyfunction]
#[pyo3(signature = (points, starts, *, method, threshold, keep, budget, seed, clusters, nearest, threads))]
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
    nearest: Option<Py<PyAny>>,
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
    let device = nearest.map(|nearest| PythonDevice::new(nearest, &watch));
    let choose = |points: Points<'_>| {
        let device = device.as_ref().map(|device| device as &dyn Device);
        way.choose(points, &starts, device, &watch)
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
    device.map_or(Ok(()), PythonDevice::end)?;
    let (threshold, selection) = chosen.map_err(value_error)?;
    Ok(arrays(py, threshold, &selection))
}

fn arrays<'py>(py: Python<'py>, threshold: Option<f64>, selection: &PointSelection) -> Chosen<'py> {
    (
        threshold,
        array(py, &selection.exemplar),
        array(py, &selection.measured),
    )
}

/// Choose a fraction or a number of the points that are closest to a target set of points of the same kind, as
/// `choose_points` takes them. KeyboardInterrupt stops it.
#[pyfunction]
#[pyo3(signature = (points, targets, *, keep, budget, threads))]
pub fn retrieve_points<'py>(
    py: Python<'py>,
    points: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
    keep: Option<f64>,
    budget: Option<usize>,
    threads: usize,
) -> PyResult<Chosen<'py>> {
    let (pool, watch) = (pool::pool(threads)?, Watch::default());
    let share = Share { keep, budget };
    let choose = |points: Points<'_>, targets: Points<'_>| {
        let count = share
            .count(points.len())
            .ok_or("expected either `keep` or `budget`")?;
        retrieval(points, targets, count, &watch).map_err(|error| error.to_string())
    };
    let chosen = if let Ok(own) = points.extract::<PyReadonlyArray2<'py, f16>>() {
        let others = targets.extract::<PyReadonlyArray2<'py, f16>>()?;
        let (features, numbers) = (own.shape()[1], own.as_slice()?);
        let (target_features, target_numbers) = (others.shape()[1], others.as_slice()?);
        let work = || {
            let of =
                |features, numbers| Embeddings::new(features, numbers).map_err(|error| error.to_string());
            let (own, others) = (of(features, numbers)?, of(target_features, target_numbers)?);
            choose(Points::Embeddings(own), Points::Embeddings(others))
        };
        interruptible(py, &watch, |_| Ok(()), || pool.install(work))?
    } else {
        let (own, others) = (
            FingerprintArray::borrow(points)?,
            FingerprintArray::borrow(targets)?,
        );
        let (own, others) = (own.view()?, others.view()?);
        let work = || choose(Points::Fingerprints(own), Points::Fingerprints(others));
        interruptible(py, &watch, |_| Ok(()), || pool.install(work))?
    };
    let (threshold, selection) = chosen.map_err(value_error)?;
    Ok(arrays(py, threshold, &selection))
}
