//! `cosine_exemplars`.

use crate::archive::interruptible_while;
use crate::fingerprint::array;
use crate::settings::value_error;
use ctprune_core::cosine::{self, Embeddings};
use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use std::sync::atomic::AtomicBool;

/// The threshold, and exemplar and similarity of each embedding.
type Exemplars<'py> = (f64, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// Greedy exemplars of embeddings (n, features), bits of half precision, within consecutive groups; either
/// `threshold` or `keep` decides. KeyboardInterrupt stops it.
#[pyfunction]
pub fn cosine_exemplars<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'py, u16>,
    starts: Vec<usize>,
    threshold: Option<f64>,
    keep: Option<f64>,
    threads: usize,
) -> PyResult<Exemplars<'py>> {
    let features = embeddings.shape()[1];
    let halves = embeddings.as_slice()?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(value_error)?;
    let stop = AtomicBool::new(false);
    let work = || {
        let embeddings = Embeddings::new(features, halves).map_err(|error| error.to_string())?;
        match (threshold, keep) {
            (Some(threshold), None) => {
                let selection = cosine::leader_in_groups(embeddings, &starts, threshold, &stop);
                selection
                    .map(|selection| (threshold, selection))
                    .map_err(|error| error.to_string())
            }
            (None, Some(fraction)) => cosine::threshold_for_keep(embeddings, &starts, fraction, &stop)
                .map_err(|error| error.to_string()),
            _ => Err("give a threshold or a fraction to keep, one of them".to_owned()),
        }
    };
    let found = interruptible_while(py, &stop, || Ok(()), || pool.install(work))?;
    let (threshold, selection) = found.map_err(value_error)?;
    Ok((
        threshold,
        array(py, &selection.exemplar),
        array(py, &selection.similarity),
    ))
}
