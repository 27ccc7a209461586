//! `find_pairs`, `nearest_within` and `turned`.

use crate::fingerprint::{FingerprintArray, array};
use crate::interrupt::interruptible;
use crate::pool;
use crate::settings::value_error;
use ctprune_core::duplicates::{self, Pair, Rule, Turn, Volumes};
use ctprune_core::watch::Watch;
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Pairs of volumes that show the same anatomy, each a dict. KeyboardInterrupt stops it; `progress` is called with the
/// number of volumes done.
#[pyfunction]
#[pyo3(signature = (fingerprints, starts, position_mm, *, threshold, min_overlap, hash_size, turned, between=None, threads=0, progress=None))]
#[allow(clippy::too_many_arguments, reason = "keywords on the Python side")]
pub fn find_pairs<'py>(
    py: Python<'py>,
    fingerprints: &Bound<'py, PyAny>,
    starts: Vec<usize>,
    position_mm: PyReadonlyArray1<'py, f64>,
    threshold: u32,
    min_overlap: f64,
    hash_size: usize,
    turned: bool,
    between: Option<usize>,
    threads: usize,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let all = FingerprintArray::borrow(fingerprints)?;
    let volumes = Volumes {
        fingerprints: all.view()?,
        starts: &starts,
        position_mm: position_mm.as_slice()?,
    };
    if hash_size * hash_size > volumes.fingerprints.bits() as usize {
        return Err(value_error(format!(
            "expected fingerprints of {hash_size} × {hash_size} bits, found {}",
            volumes.fingerprints.bits()
        )));
    }
    let rule = Rule {
        threshold,
        min_overlap,
        turns: if turned {
            Turn::ALL.to_vec()
        } else {
            vec![Turn::None]
        },
        hash_size,
        between,
    };
    let (pool, watch) = (pool::pool(threads)?, Watch::default());
    let tell = |done: usize| match progress {
        Some(progress) => progress.call1((done,)).map(drop),
        None => Ok(()),
    };
    let work = || pool.install(|| duplicates::find_pairs(&volumes, &rule, &watch));
    let pairs = interruptible(py, &watch, tell, work)?.map_err(value_error)?;
    PyList::new(
        py,
        pairs
            .iter()
            .map(|pair| dict(py, pair))
            .collect::<PyResult<Vec<_>>>()?,
    )
}

fn dict<'py>(py: Python<'py>, pair: &Pair) -> PyResult<Bound<'py, PyDict>> {
    let (dict, fit) = (PyDict::new(py), pair.fit);
    dict.set_item("a", pair.a)?;
    dict.set_item("b", pair.b)?;
    dict.set_item("turn", pair.turn.name())?;
    dict.set_item("scale", fit.scale)?;
    dict.set_item("shift", fit.shift)?;
    dict.set_item("is_in_mm", fit.is_in_mm)?;
    dict.set_item("overlap", fit.overlap)?;
    dict.set_item("of_a", fit.of_a)?;
    dict.set_item("of_b", fit.of_b)?;
    dict.set_item("compared", fit.compared)?;
    dict.set_item("median_bits", fit.median)?;
    dict.set_item("mean_bits", fit.mean)?;
    Ok(dict)
}

/// Row of the nearest fingerprint and distance to it, of each query.
type Nearest<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u16>>);

/// For each query the nearest of `fingerprints` within `radius` bits, the first of equals: its row, -1 where there is
/// none, and the distance. KeyboardInterrupt stops it.
#[pyfunction]
#[pyo3(signature = (fingerprints, queries, radius, threads=0))]
pub fn nearest_within<'py>(
    py: Python<'py>,
    fingerprints: &Bound<'py, PyAny>,
    queries: &Bound<'py, PyAny>,
    radius: u32,
    threads: usize,
) -> PyResult<Nearest<'py>> {
    let (all, wanted) = (
        FingerprintArray::borrow(fingerprints)?,
        FingerprintArray::borrow(queries)?,
    );
    let (all, wanted) = (all.view()?, wanted.view()?);
    let (pool, watch) = (pool::pool(threads)?, Watch::default());
    let work = || pool.install(|| duplicates::nearest_within(all, wanted, radius, &watch));
    let found = interruptible(py, &watch, |_| Ok(()), work)?.map_err(value_error)?;
    let rows: Vec<i64> = found
        .iter()
        .map(|hit| hit.map_or(-1, |(row, _)| i64::from(row)))
        .collect();
    let distances: Vec<u16> = found
        .iter()
        .map(|hit| hit.map_or(u16::MAX, |(_, bits)| bits))
        .collect();
    Ok((array(py, &rows), array(py, &distances)))
}

/// dHashes, uint8 of shape (n, bytes) or uint64 of shape (n, words), as those of turned pictures: uint64 of shape
/// (n, words).
#[pyfunction]
pub fn turned<'py>(
    py: Python<'py>,
    fingerprints: &Bound<'py, PyAny>,
    turn: &str,
    hash_size: usize,
) -> PyResult<Bound<'py, PyArray2<u64>>> {
    let all = FingerprintArray::borrow(fingerprints)?;
    let all = all.view()?;
    let turn = Turn::named(turn).ok_or_else(|| value_error(format!("expected a turn, found {turn}")))?;
    if hash_size * hash_size > all.bits() as usize {
        return Err(value_error(format!(
            "expected fingerprints of {hash_size} × {hash_size} bits, found {}",
            all.bits()
        )));
    }
    let words = all.words();
    let mut found = vec![0u64; all.len() * words];
    for (row, out) in found.chunks_exact_mut(words.max(1)).enumerate() {
        turn.of(all.row(row), hash_size, out);
    }
    PyArray1::from_vec(py, found).reshape([all.len(), words])
}
