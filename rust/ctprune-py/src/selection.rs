//! `select_exemplars`.

use crate::fingerprint::{PackedFingerprints, array};
use crate::settings::value_error;
use ctprune_core::select;
use numpy::{PyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use std::ops::ControlFlow;

/// Exemplar and distance of each fingerprint.
type Exemplars<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u16>>);

/// Greedy exemplars of fingerprints (n, bytes) within consecutive groups that start at `starts`.
#[pyfunction]
pub fn select_exemplars<'py>(
    py: Python<'py>,
    fingerprints: PyReadonlyArray2<'py, u8>,
    threshold: u32,
    starts: Vec<usize>,
) -> PyResult<Exemplars<'py>> {
    let packed = PackedFingerprints::new(&fingerprints)?;
    let selection = py.detach(|| {
        let fingerprints = packed.view()?;
        match starts[..] {
            [0, _] => select::leader_in_dataset(fingerprints, threshold, &mut |_| ControlFlow::Continue(())),
            _ => select::leader_in_volumes(fingerprints, &starts, threshold),
        }
        .map_err(value_error)
    })?;
    Ok((array(py, &selection.exemplar), array(py, &selection.distance)))
}
