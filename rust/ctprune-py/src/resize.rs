//! `read_resized` and `resize_decoded`: chosen slices resized to one size.

use crate::fetch::fetching;
use crate::images::Images;
use crate::interrupt::interruptible;
use crate::pixels::located;
use crate::pool;
use crate::settings::{pixel_settings, value_error};
use ctprune_archive::fingerprint_file::Settings;
use ctprune_archive::pixels::resize::{self, ResizedValue, Sums};
use ctprune_core::pixels::SlicePixels;
use ctprune_core::watch::Watch;
use numpy::{Element, PyArray3, PyArrayMethods, PyReadwriteArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use std::fmt::Display;
use std::path::PathBuf;

/// Sum, sum of squares and "", or 0, 0 and what is wrong with the slice.
type Outcome = (u64, u64, String);

/// Read (path, frame) into `out`, uint8 or uint16 of shape (n, side, side); for each its sums or what is wrong.
///
/// `progress` is called with the number of slices done; KeyboardInterrupt stops it.
#[pyfunction]
#[pyo3(signature = (slices, out, intensity, modality, max_slice_mb, threads, progress, fetch=None))]
#[allow(clippy::too_many_arguments, reason = "called from one place")]
pub fn read_resized(
    py: Python<'_>,
    slices: Vec<(PathBuf, u32)>,
    out: &Bound<'_, PyAny>,
    intensity: &str,
    modality: &str,
    max_slice_mb: u64,
    threads: usize,
    progress: &Bound<'_, PyAny>,
    fetch: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<Outcome>> {
    let settings = pixel_settings(intensity, modality, max_slice_mb)?;
    if let Ok(out) = out.cast::<PyArray3<u8>>() {
        return read_into(
            py,
            slices,
            out.try_readwrite()?,
            &settings,
            threads,
            progress,
            fetch,
        );
    }
    let out = out.cast::<PyArray3<u16>>()?;
    read_into(
        py,
        slices,
        out.try_readwrite()?,
        &settings,
        threads,
        progress,
        fetch,
    )
}

fn read_into<T: ResizedValue + Element>(
    py: Python<'_>,
    slices: Vec<(PathBuf, u32)>,
    mut out: PyReadwriteArray3<'_, T>,
    settings: &Settings,
    threads: usize,
    progress: &Bound<'_, PyAny>,
    fetch: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<Outcome>> {
    let side = checked_side(out.shape(), slices.len())?;
    let out = out.as_slice_mut()?;
    let slices = located(slices);
    let (pool, watch) = (pool::pool(threads)?, Watch::default());
    let outcomes = fetching(fetch, &watch, |fetch| {
        let (intensity, options) = (settings.intensity, &settings.read);
        let work = || resize::read_resized(slices, side, intensity, options, fetch, &watch, out);
        let show = |done| progress.call1((done,)).map(|_| ());
        interruptible(py, &watch, show, || pool.install(work))
    })?;
    Ok(outcomes.into_iter().map(outcome).collect())
}

/// Resize one slice that another reader decoded into `out` of shape (1, side, side).
#[pyfunction]
pub fn resize_decoded(
    pixels: &Bound<'_, PyAny>,
    slope: f64,
    intercept: f64,
    out: &Bound<'_, PyAny>,
    intensity: &str,
) -> PyResult<Outcome> {
    let settings = pixel_settings(intensity, "any", 1)?;
    let image = Images::borrow(pixels)?;
    let pixels = image.slice(slope, intercept)?;
    if let Ok(out) = out.cast::<PyArray3<u8>>() {
        return resize_one(&pixels, out.try_readwrite()?, &settings);
    }
    let out = out.cast::<PyArray3<u16>>()?;
    resize_one(&pixels, out.try_readwrite()?, &settings)
}

fn resize_one<T: ResizedValue + Element>(
    pixels: &SlicePixels<'_>,
    mut out: PyReadwriteArray3<'_, T>,
    settings: &Settings,
) -> PyResult<Outcome> {
    let side = checked_side(out.shape(), 1)?;
    let sums = resize::resize_slice(pixels, side, settings.intensity, out.as_slice_mut()?);
    Ok(outcome(sums))
}

fn checked_side(shape: &[usize], slices: usize) -> PyResult<usize> {
    match *shape {
        [n, rows, columns] if n == slices && rows == columns && rows > 0 => Ok(rows),
        _ => Err(value_error(format!(
            "expected shape ({slices}, side, side), found {shape:?}"
        ))),
    }
}

fn outcome<E: Display>(result: Result<Sums, E>) -> Outcome {
    match result {
        Ok(sums) => (sums.sum, sums.sum_sq, String::new()),
        Err(error) => (0, 0, error.to_string()),
    }
}
