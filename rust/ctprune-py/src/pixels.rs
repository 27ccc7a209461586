//! `read_hu` and `export_png`: pixels of chosen slices.

use crate::fetch::fetching;
use crate::interrupt::interruptible;
use crate::pool;
use crate::settings::{pixel_settings, read_options, value_error};
use ctprune_archive::discover::location::Location;
use ctprune_archive::pixels::visit::Job;
use ctprune_archive::pixels::{PixelError, hu, png};
use ctprune_core::watch::Watch;
use numpy::{PyArray1, PyArray3, PyArrayMethods};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::path::PathBuf;

/// Hounsfield units of the given (path, frame) as float32 of shape (n, rows, cols). KeyboardInterrupt stops it.
#[pyfunction]
#[pyo3(signature = (slices, rows, columns, modality, max_slice_mb, threads=0, fetch=None))]
#[allow(clippy::too_many_arguments, reason = "called from two places")]
pub fn read_hu<'py>(
    py: Python<'py>,
    slices: Vec<(PathBuf, u32)>,
    rows: usize,
    columns: usize,
    modality: &str,
    max_slice_mb: u64,
    threads: usize,
    fetch: Option<&Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let count = slices.len();
    let names: Vec<PathBuf> = slices.iter().map(|(path, _)| path.clone()).collect();
    let slices = located(slices);
    let mut values = vec![0.0; count * rows * columns];
    let options = read_options(modality, max_slice_mb);
    let (pool, watch) = (pool::pool(threads)?, Watch::default());
    let results = fetching(fetch, &watch, |fetch| {
        let work = || hu::read_hu(slices, rows * columns, &options, fetch, &watch, &mut values);
        interruptible(py, &watch, |_| Ok(()), || pool.install(work))
    })?;
    for (name, result) in names.iter().zip(results) {
        if let Some(error) = result {
            return Err(value_error(format!("{}: {error}", name.display())));
        }
    }
    PyArray1::from_vec(py, values).reshape([count, rows, columns])
}

/// Write (path, frame, target) as gray PNG of 8 or 16 bits; for each "" or what is wrong with the slice.
///
/// OSError when a picture cannot be written. KeyboardInterrupt stops it.
#[pyfunction]
#[pyo3(signature = (jobs, depth, intensity, modality, max_slice_mb, threads, fetch=None))]
#[allow(clippy::too_many_arguments, reason = "called from one place")]
pub fn export_png(
    py: Python<'_>,
    jobs: Vec<(PathBuf, u32, PathBuf)>,
    depth: u32,
    intensity: &str,
    modality: &str,
    max_slice_mb: u64,
    threads: usize,
    fetch: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<String>> {
    let settings = pixel_settings(intensity, modality, max_slice_mb)?;
    let (pool, watch) = (pool::pool(threads)?, Watch::default());
    let jobs = jobs
        .into_iter()
        .map(|(path, frame, target)| Job {
            location: Location::parse(path),
            frame,
            target,
        })
        .collect();
    let results = fetching(fetch, &watch, |fetch| {
        let (intensity, options) = (settings.intensity, &settings.read);
        let work = || png::write_pngs(jobs, depth == 16, intensity, options, fetch, &watch);
        interruptible(py, &watch, |_| Ok(()), || pool.install(work))
    })?;
    results
        .into_iter()
        .map(|result| match result {
            None => Ok(String::new()),
            Some(error @ PixelError::Output { .. }) => Err(PyOSError::new_err(error.to_string())),
            Some(error) => Ok(error.to_string()),
        })
        .collect()
}

/// Where these slices are.
pub fn located(slices: Vec<(PathBuf, u32)>) -> Vec<(Location, u32)> {
    let locate = |(address, frame)| (Location::parse::<PathBuf>(address), frame);
    slices.into_iter().map(locate).collect()
}
