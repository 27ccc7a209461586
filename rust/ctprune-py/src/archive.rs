//! `Archive`: the steps from sources to a manifest.

use crate::foreign::decoding;
use crate::images::Images;
use crate::info::slice_info;
use crate::rows::Rows;
use crate::settings::{compile, settings, value_error};
use ctprune_archive::archive as core;
use ctprune_archive::methods::Request;
use ctprune_archive::volumes::geometry::GeometryFlags;
use ctprune_archive::volumes::order::Order;
use ctprune_core::watch::Watch;
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use regex::Regex;
use std::path::PathBuf;
use std::time::Duration;

/// An archive on its way to a manifest; each step works for a portion of time without the GIL.
#[pyclass]
pub struct Archive {
    inner: core::Archive,
}

#[pymethods]
impl Archive {
    #[new]
    #[pyo3(signature = (*, fingerprint, hash_size, intensity, modality, max_slice_mb, threads))]
    fn new(
        fingerprint: &str,
        hash_size: usize,
        intensity: &str,
        modality: &str,
        max_slice_mb: u64,
        threads: usize,
    ) -> PyResult<Self> {
        let settings = settings(fingerprint, hash_size, intensity, modality, max_slice_mb)?;
        Ok(Self {
            inner: core::Archive::new(settings, threads).map_err(value_error)?,
        })
    }

    /// Go on to another earlier table, older than those before.
    fn begin_earlier(&mut self) {
        self.inner.begin_earlier();
    }

    /// Take over rows of an earlier table.
    fn add_earlier(&mut self, py: Python<'_>, rows: &Rows) -> PyResult<()> {
        py.detach(|| {
            rows.batches()
                .iter()
                .try_for_each(|batch| self.inner.add_earlier(batch))
        })
        .map_err(value_error)
    }

    /// Do not read files whose path relative to their source matches this regular expression, made of `glob`;
    /// before any source is added.
    fn exclude(&mut self, pattern: &str, glob: &str) -> PyResult<()> {
        let pattern = Regex::new(pattern).map_err(|error| value_error(error.to_string()))?;
        self.inner.exclude(pattern, glob);
        Ok(())
    }

    /// Walk this folder too.
    fn add_source(&mut self, root: PathBuf) {
        self.inner.add_source(&root);
    }

    /// Read this file too; its folder counts as the source.
    fn add_file(&mut self, path: PathBuf) -> PyResult<()> {
        self.inner.add_file(&path).map_err(value_error)
    }

    /// Walk for about this many seconds; False when every folder is listed.
    fn discover(&mut self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        py.detach(|| self.inner.discover(Duration::from_secs_f64(seconds)))
            .map_err(value_error)
    }

    /// Read files for about this many seconds; False when all are read.
    fn read(&mut self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        py.detach(|| self.inner.read(Duration::from_secs_f64(seconds)))
            .map_err(value_error)
    }

    /// Numbers and paths of DICOM files of a kind that is not known here: another reader may try.
    fn unsupported(&mut self) -> Vec<(u32, PathBuf)> {
        let files = self.inner.unsupported();
        files
            .into_iter()
            .map(|file| (file, self.inner.files().absolute(file)))
            .collect()
    }

    /// Take in a slice that another reader found in one of these files.
    fn add_foreign(
        &mut self,
        file: u32,
        info: &Bound<'_, PyDict>,
        pixels: &Bound<'_, PyAny>,
        slope: f64,
        intercept: f64,
    ) -> PyResult<()> {
        let image = Images::borrow(pixels)?;
        let pixels = image.slice(slope, intercept)?;
        self.inner
            .add_foreign(file, slice_info(info)?, &pixels)
            .map_err(value_error)
    }

    /// End one of these files: its rows give way to the slices that were found, or stay with this reason added.
    #[pyo3(signature = (file, refused))]
    fn end_foreign(&mut self, file: u32, refused: Option<&str>) -> PyResult<()> {
        self.inner.end_foreign(file, refused).map_err(value_error)
    }

    /// Path and reason of the first file that could not be read.
    fn first_failure(&self) -> Option<(PathBuf, String)> {
        self.inner.first_failure()
    }

    /// Group into volumes, in order.
    #[pyo3(signature = (order, volume_pattern))]
    fn group(&mut self, py: Python<'_>, order: &str, volume_pattern: Option<&str>) -> PyResult<()> {
        let order = match order {
            "position" => Order::Position,
            "path" => Order::Path,
            other => return Err(value_error(format!("unknown order {other:?}"))),
        };
        let pattern = volume_pattern.map(compile).transpose()?;
        py.detach(|| self.inner.group(order, pattern.as_ref()));
        Ok(())
    }

    /// Choose among the grouped slices; KeyboardInterrupt stops it.
    ///
    /// `decode(path, frames)` reads slices that only another reader can; `progress` is called with the number of slices
    /// decided on by methods that read pixels.
    #[pyo3(signature = (*, method, threshold, keep, n, seed, window, whole_archive, decode, progress))]
    #[allow(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn select(
        slf: &Bound<'_, Self>,
        method: String,
        threshold: Option<f64>,
        keep: Option<f64>,
        n: Option<usize>,
        seed: Option<u64>,
        window: Option<String>,
        whole_archive: bool,
        decode: &Bound<'_, PyAny>,
        progress: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let request = Request {
            method,
            threshold,
            keep,
            n: n.unwrap_or(1),
            seed: seed.unwrap_or(0),
            window: window.unwrap_or_default(),
        };
        let watch = Watch::default();
        // Only read from until there is a choice, so that `progress` may ask how far it has come.
        let shared = slf.borrow();
        let inner = &shared.inner;
        let intensity = inner.settings().intensity;
        let choice = decoding(slf.py(), intensity, &watch, decode, progress, |decode| {
            inner.choose(&request, whole_archive, decode, &watch)
        })?
        .map_err(value_error)?;
        drop(shared);
        slf.borrow_mut().inner.set_choice(choice);
        Ok(())
    }

    /// What is known of the comparisons of pixels, by name; None where none were made.
    fn comparisons<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(found) = self.inner.choice().and_then(|choice| choice.comparisons.as_ref()) else {
            return Ok(None);
        };
        let dict = PyDict::new(py);
        dict.set_item("pairs", found.pairs)?;
        dict.set_item("pairs_bounded", found.bounded)?;
        dict.set_item("not_compared_so_kept", counted(py, &found.left_out)?)?;
        Ok(Some(dict))
    }

    /// Set a selection that was made outside: for each slice its exemplar and the similarity to it.
    fn set_selection(
        &mut self,
        exemplar: PyReadonlyArray1<'_, u32>,
        similarity: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<()> {
        let (exemplar, similarity) = (exemplar.as_slice()?.to_vec(), similarity.as_slice()?.to_vec());
        self.inner
            .set_selection(exemplar, similarity)
            .map_err(value_error)
    }

    /// First slice of each volume, and the number of slices.
    fn volume_starts(&self) -> Vec<usize> {
        self.inner.volumes().starts.clone()
    }

    /// Number of manifest rows.
    fn manifest_rows(&self) -> usize {
        self.inner.manifest_rows()
    }

    /// Number of volumes.
    fn volumes(&self) -> usize {
        self.inner.volumes().len()
    }

    /// Number of volumes by what is unusual about their geometry.
    fn geometry_flags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = &self.inner.volumes().geometry_flags;
        let count = |has: fn(&GeometryFlags) -> bool| all.iter().filter(|flags| has(flags)).count();
        let dict = PyDict::new(py);
        dict.set_item("no_positions", count(|o| o.no_positions))?;
        dict.set_item("duplicate_positions", count(|o| o.duplicate_positions))?;
        dict.set_item("missing_slices", count(|o| o.missing_slices))?;
        dict.set_item("variable_spacing", count(|o| o.variable_spacing))?;
        dict.set_item("gantry_tilt", count(|o| o.gantry_tilt))?;
        Ok(dict)
    }

    /// The threshold that the last selection used, if it has one.
    fn threshold(&self) -> Option<f64> {
        self.inner.choice()?.threshold
    }

    /// Number of rows of the table, stale ones too: `part` takes from these.
    fn table_rows(&self) -> usize {
        self.inner.table().rows().len()
    }

    /// These manifest rows, or as many of the first ones as fit into a batch.
    fn rows(&self, py: Python<'_>, start: usize, stop: usize) -> Rows {
        let batch = py.detach(|| self.inner.batch(start..stop));
        Rows::new(batch.schema(), vec![batch])
    }

    /// The same of these rows of the table, in the order of reading, before there is a selection. First goes the row
    /// that the next batch begins with.
    fn part(&self, py: Python<'_>, start: usize, stop: usize) -> (usize, Rows) {
        let (next, batch) = py.detach(|| self.inner.part(start..stop));
        (next, Rows::new(batch.schema(), vec![batch]))
    }

    /// How far it has come, by name.
    fn progress<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let progress = self.inner.progress();
        let dict = PyDict::new(py);
        dict.set_item("files_found", progress.files_found)?;
        dict.set_item("files_to_read", progress.files_to_read)?;
        dict.set_item("files_read", progress.files_read)?;
        dict.set_item("bytes_to_read", progress.bytes_to_read)?;
        dict.set_item("bytes_read", progress.bytes_read)?;
        dict.set_item("slices_read", progress.slices_read)?;
        dict.set_item("files_reused", progress.files_reused)?;
        dict.set_item("files_vanished", progress.files_vanished)?;
        Ok(dict)
    }
}

/// Numbers by reason, in their order.
pub(crate) fn counted<'py>(py: Python<'py>, reasons: &[(String, usize)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (reason, count) in reasons {
        dict.set_item(reason, count)?;
    }
    Ok(dict)
}
