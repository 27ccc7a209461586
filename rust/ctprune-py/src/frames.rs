//! `read_hu` and `export_png`: pixels of chosen slices.

use crate::settings::{read_options, settings, value_error};
use ctprune_archive::frames::{self, Failure, Job};
use numpy::{PyArray1, PyArray3, PyArrayMethods};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::path::PathBuf;

/// Hounsfield units of the given (path, frame) as float32 of shape (n, rows, cols).
#[pyfunction]
pub fn read_hu<'py>(
    py: Python<'py>,
    slices: Vec<(PathBuf, u32)>,
    rows: usize,
    columns: usize,
    modality: &str,
    max_slice_mb: u64,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let count = slices.len();
    let names: Vec<PathBuf> = slices.iter().map(|(path, _)| path.clone()).collect();
    let mut hu = vec![0.0; count * rows * columns];
    let options = read_options(modality, max_slice_mb);
    let results = py.detach(|| frames::read_hu(slices, rows * columns, &options, &mut hu));
    for (name, result) in names.iter().zip(results) {
        if let Some(Failure::Slice(reason) | Failure::Output(reason)) = result {
            return Err(value_error(format!("{}: {reason}", name.display())));
        }
    }
    PyArray1::from_vec(py, hu).reshape([count, rows, columns])
}

/// Write (path, frame, target) as grey PNG of 8 or 16 bits; for each "" or what is wrong with the slice.
///
/// OSError when a picture cannot be written.
#[pyfunction]
pub fn export_png(
    py: Python<'_>,
    jobs: Vec<(PathBuf, u32, PathBuf)>,
    depth: u32,
    intensity: &str,
    modality: &str,
    max_slice_mb: u64,
    threads: usize,
) -> PyResult<Vec<String>> {
    let settings = settings(8, intensity, modality, max_slice_mb)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(value_error)?;
    let jobs = jobs
        .into_iter()
        .map(|(path, frame, target)| Job { path, frame, target })
        .collect();
    let results = py.detach(|| {
        pool.install(|| frames::write_pngs(jobs, depth == 16, settings.intensity, &settings.read))
    });
    results
        .into_iter()
        .map(|result| match result {
            None => Ok(String::new()),
            Some(Failure::Slice(reason)) => Ok(reason),
            Some(Failure::Output(reason)) => Err(PyOSError::new_err(reason)),
        })
        .collect()
}
