//! `cosine_exemplars`.

use crate::fingerprint::array;
use crate::interrupt::interruptible;
use crate::pool;
use crate::settings::value_error;
use ctprune_core::selection::{Reach, cosine};
use ctprune_core::similarity::cosine::Embeddings;
use ctprune_core::watch::Watch;
use half::f16;
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// The threshold, and exemplar and similarity of each embedding.
type Exemplars<'py> = (f64, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// Greedy exemplars of embeddings, float16 of shape (n, features), within consecutive volumes that start at `starts`;
/// either `threshold` or `keep` decides. Exemplars lie at most `max_gap_mm` from their rows, which lie at `position_mm`,
/// float64 of shape (n,). KeyboardInterrupt stops it.
#[pyfunction]
#[pyo3(signature = (embeddings, starts, threshold, keep, threads, position_mm=None, max_gap_mm=None))]
#[allow(clippy::too_many_arguments, reason = "keywords on the Python side")]
pub fn cosine_exemplars<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'py, f16>,
    starts: Vec<usize>,
    threshold: Option<f64>,
    keep: Option<f64>,
    threads: usize,
    position_mm: Option<PyReadonlyArray1<'py, f64>>,
    max_gap_mm: Option<f64>,
) -> PyResult<Exemplars<'py>> {
    let (features, numbers) = (embeddings.shape()[1], embeddings.as_slice()?);
    let (pool, watch) = (pool::pool(threads)?, Watch::default());
    let reach = match (&position_mm, max_gap_mm) {
        (Some(position_mm), Some(most)) => {
            Reach::within(position_mm.as_slice()?, most).map_err(value_error)?
        }
        _ => Reach::ANY,
    };
    let work = || {
        let embeddings = Embeddings::new(features, numbers).map_err(|error| error.to_string())?;
        let found = match (threshold, keep) {
            (Some(threshold), None) => cosine::exemplars(embeddings, &starts, threshold, reach, &watch)
                .map(|selection| (threshold, selection)),
            (None, Some(fraction)) => {
                cosine::threshold_for_keep(embeddings, &starts, fraction, reach, &watch)
            }
            _ => return Err("expected threshold or keep, one of them".to_owned()),
        };
        found.map_err(|error| error.to_string())
    };
    let found = interruptible(py, &watch, |_| Ok(()), || pool.install(work))?;
    let (threshold, selection) = found.map_err(value_error)?;
    Ok((
        threshold,
        array(py, &selection.exemplar),
        array(py, &selection.similarity),
    ))
}
