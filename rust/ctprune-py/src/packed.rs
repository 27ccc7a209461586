//! `pack`: chosen slices as squares of one size.

use crate::archive::interruptible_while;
use crate::images::Images;
use crate::settings::{settings, value_error};
use ctprune_archive::frames::Failure;
use ctprune_archive::packed::{self, Sums, Value, Watch};
use ctprune_archive::reader::Settings;
use ctprune_core::pixels::SlicePixels;
use numpy::{Element, PyArray3, PyArrayMethods, PyReadwriteArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Sum, sum of squares and "", or 0, 0 and what is wrong with the slice.
type Outcome = (u64, u64, String);

/// Read (path, frame) into `out`, uint8 or uint16 of shape (n, side, side); for each its sums or what is wrong.
///
/// `progress` is called with the number of slices done; KeyboardInterrupt stops it.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "called from one place")]
pub fn pack(
    py: Python<'_>,
    slices: Vec<(PathBuf, u32)>,
    out: &Bound<'_, PyAny>,
    intensity: &str,
    modality: &str,
    max_slice_mb: u64,
    threads: usize,
    progress: &Bound<'_, PyAny>,
) -> PyResult<Vec<Outcome>> {
    let settings = settings(8, intensity, modality, max_slice_mb)?;
    if let Ok(out) = out.cast::<PyArray3<u8>>() {
        return pack_into(py, slices, out.try_readwrite()?, &settings, threads, progress);
    }
    let out = out.cast::<PyArray3<u16>>()?;
    pack_into(py, slices, out.try_readwrite()?, &settings, threads, progress)
}

fn pack_into<T: Value + Element>(
    py: Python<'_>,
    slices: Vec<(PathBuf, u32)>,
    mut out: PyReadwriteArray3<'_, T>,
    settings: &Settings,
    threads: usize,
    progress: &Bound<'_, PyAny>,
) -> PyResult<Vec<Outcome>> {
    let side = checked_side(out.shape(), slices.len())?;
    let out = out.as_slice_mut()?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(value_error)?;
    let watch = Watch::default();
    let outcomes = interruptible_while(
        py,
        &watch.stop,
        || progress.call1((watch.done.load(Ordering::Relaxed),)).map(|_| ()),
        || pool.install(|| packed::pack(slices, side, settings.intensity, &settings.read, &watch, out)),
    )?;
    Ok(outcomes.into_iter().map(outcome).collect())
}

/// The square of one slice that another reader decoded, into `out` of shape (1, side, side).
#[pyfunction]
pub fn pack_decoded(
    pixels: &Bound<'_, PyAny>,
    slope: f64,
    intercept: f64,
    out: &Bound<'_, PyAny>,
    intensity: &str,
) -> PyResult<Outcome> {
    let settings = settings(8, intensity, "any", 1)?;
    let image = Images::borrow(pixels)?;
    let pixels = image.slice(slope, intercept)?;
    if let Ok(out) = out.cast::<PyArray3<u8>>() {
        return pack_one(&pixels, out.try_readwrite()?, &settings);
    }
    let out = out.cast::<PyArray3<u16>>()?;
    pack_one(&pixels, out.try_readwrite()?, &settings)
}

fn pack_one<T: Value + Element>(
    pixels: &SlicePixels<'_>,
    mut out: PyReadwriteArray3<'_, T>,
    settings: &Settings,
) -> PyResult<Outcome> {
    let side = checked_side(out.shape(), 1)?;
    let sums = packed::pack_slice(pixels, side, settings.intensity, out.as_slice_mut()?);
    Ok(outcome(sums.map_err(|error| Failure::Slice(error.to_string()))))
}

fn checked_side(shape: &[usize], slices: usize) -> PyResult<usize> {
    match *shape {
        [n, rows, columns] if n == slices && rows == columns && rows > 0 => Ok(rows),
        _ => Err(value_error(format!(
            "expected shape ({slices}, side, side), found {shape:?}"
        ))),
    }
}

fn outcome(result: Result<Sums, Failure>) -> Outcome {
    match result {
        Ok(sums) => (sums.values, sums.squares, String::new()),
        Err(Failure::Slice(reason) | Failure::Output(reason)) => (0, 0, reason),
    }
}
