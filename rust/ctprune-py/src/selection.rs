//! `select_exemplars`.

use crate::fingerprint::{FingerprintArray, array};
use crate::interrupt::interruptible;
use crate::pool;
use crate::settings::value_error;
use ctprune_core::selection::hamming::{PIECE, dataset_exemplars, volume_exemplars};
use ctprune_core::watch::Watch;
use numpy::PyArray1;
use pyo3::prelude::*;

/// A selection from fewer fingerprints ends before the first look for signals.
const LONG: usize = 1 << 17;

/// Exemplar and distance of each fingerprint.
type Exemplars<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u16>>);

/// Greedy exemplars of fingerprints, uint8 of shape (n, bytes) or uint64 of shape (n, words), within consecutive volumes
/// that start at `starts`. KeyboardInterrupt stops it.
#[pyfunction]
#[pyo3(signature = (fingerprints, threshold, starts, threads=0))]
pub fn select_exemplars<'py>(
    py: Python<'py>,
    fingerprints: &Bound<'py, PyAny>,
    threshold: u32,
    starts: Vec<usize>,
    threads: usize,
) -> PyResult<Exemplars<'py>> {
    let array_of_all = FingerprintArray::borrow(fingerprints)?;
    let (all, watch) = (array_of_all.view()?, Watch::default());
    let work = || match starts[..] {
        [0, _] => dataset_exemplars(all, threshold, &mut |done| watch.report(done)),
        _ => volume_exemplars(all, &starts, threshold),
    };
    let selection = if all.len() <= PIECE {
        // On this thread: to wake another would take longer than the work.
        py.detach(|| volume_exemplars(all, &starts, threshold))
    } else if all.len() < LONG {
        pool::run(py, threads, work)?
    } else {
        let pool = pool::pool(threads)?;
        interruptible(py, &watch, |_| Ok(()), || pool.install(work))?
    };
    let selection = selection.map_err(value_error)?;
    Ok((array(py, &selection.exemplar), array(py, &selection.distance)))
}
