//! `Archive`: the steps from sources to a manifest.

use crate::images::Images;
use crate::info::slice_info;
use crate::settings::{compile, settings, value_error};
use ctprune_archive::archive as core;
use ctprune_archive::columns::arrow::ColumnRef;
use ctprune_archive::columns::{Columns, EarlierRows, manifest_columns, part_columns};
use ctprune_archive::geometry::Oddities;
use ctprune_archive::method::Request;
use ctprune_archive::volume::Order;
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use regex::Regex;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// Validity bits, offsets and values of an Arrow column.
type ColumnBytes<'py> = (
    Option<Bound<'py, PyBytes>>,
    Option<Bound<'py, PyBytes>>,
    Bound<'py, PyBytes>,
);

/// An archive on its way to a manifest; each step works for a portion of time without the GIL.
#[pyclass]
pub struct Archive {
    inner: core::Archive,
}

#[pymethods]
impl Archive {
    #[new]
    #[pyo3(signature = (*, hash_size, intensity, modality, max_slice_mb, threads))]
    fn new(
        hash_size: usize,
        intensity: &str,
        modality: &str,
        max_slice_mb: u64,
        threads: usize,
    ) -> PyResult<Self> {
        let settings = settings(hash_size, intensity, modality, max_slice_mb)?;
        Ok(Self {
            inner: core::Archive::new(settings, threads).map_err(value_error)?,
        })
    }

    /// Go on to another earlier table, older than those before.
    fn begin_earlier(&mut self) {
        self.inner.begin_earlier();
    }

    /// Take over rows of an earlier table.
    fn add_earlier(&mut self, rows: usize, columns: HashMap<String, ColumnBytes<'_>>) -> PyResult<()> {
        let columns = columns
            .iter()
            .map(|(name, (valid, offsets, data))| {
                let bytes =
                    |part: &'_ Option<Bound<'_, PyBytes>>| part.as_ref().map(|b| b.as_bytes().to_vec());
                (name.as_str(), bytes(valid), bytes(offsets), data.as_bytes())
            })
            .collect::<Vec<_>>();
        let borrowed = columns
            .iter()
            .map(|(name, valid, offsets, data)| {
                (
                    *name,
                    ColumnRef {
                        valid: valid.as_deref(),
                        offsets: offsets.as_deref(),
                        data,
                    },
                )
            })
            .collect();
        let fingerprint_bytes = self.inner.fingerprint_bytes();
        let batch = EarlierRows {
            rows,
            columns: borrowed,
            fingerprint_bytes,
        };
        self.inner.add_earlier(&batch).map_err(value_error)
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
    #[pyo3(signature = (*, method, threshold, keep, n, seed, whole_archive))]
    #[allow(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn select(
        &mut self,
        py: Python<'_>,
        method: String,
        threshold: u32,
        keep: Option<f64>,
        n: usize,
        seed: u64,
        whole_archive: bool,
    ) -> PyResult<()> {
        let request = Request {
            method,
            threshold,
            keep,
            n,
            seed,
        };
        let inner = &mut self.inner;
        interruptible(py, |stop| {
            let mut tick = |_| {
                if stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            inner.select(&request, whole_archive, &mut tick)
        })?
        .map_err(value_error)
    }

    /// Take over a selection that was made outside: for each slice its exemplar and the similarity to it.
    fn adopt(
        &mut self,
        exemplar: PyReadonlyArray1<'_, u32>,
        similarity: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<()> {
        let (exemplar, similarity) = (exemplar.as_slice()?.to_vec(), similarity.as_slice()?.to_vec());
        self.inner.adopt(exemplar, similarity).map_err(value_error)
    }

    /// First slice of each volume, and the number of slices.
    fn volume_starts(&self) -> Vec<usize> {
        self.inner.volumes().starts.clone()
    }

    /// Number of manifest rows.
    fn lines(&self) -> usize {
        self.inner.lines()
    }

    /// Number of volumes.
    fn volumes(&self) -> usize {
        self.inner.volumes().len()
    }

    /// Number of volumes by what is unusual about their geometry.
    fn oddities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = &self.inner.volumes().oddities;
        let count = |has: fn(&Oddities) -> bool| all.iter().filter(|oddities| has(oddities)).count();
        let dict = PyDict::new(py);
        dict.set_item("no_positions", count(|o| o.no_positions))?;
        dict.set_item("duplicate_positions", count(|o| o.duplicate_positions))?;
        dict.set_item("missing_slices", count(|o| o.missing_slices))?;
        dict.set_item("variable_spacing", count(|o| o.variable_spacing))?;
        dict.set_item("gantry_tilt", count(|o| o.gantry_tilt))?;
        Ok(dict)
    }

    /// The threshold that the last selection used, if it has one.
    fn threshold(&self) -> Option<u32> {
        self.inner.threshold()
    }

    /// Number of rows of the table, stale ones too: `part_columns` takes from these.
    fn table_rows(&self) -> usize {
        self.inner.table().rows().len()
    }

    /// Number and Arrow bytes, by column, of the first of these manifest rows, as many as fit into a batch.
    fn columns<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        stop: usize,
    ) -> PyResult<(usize, Bound<'py, PyDict>)> {
        let (rows, columns) = py
            .detach(|| manifest_columns(&self.inner, start..stop))
            .map_err(value_error)?;
        Ok((rows, by_name(py, columns)?))
    }

    /// The same of these rows of the table, in the order of reading, before there is a selection. First goes the row
    /// that the next batch begins with.
    fn part_columns<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        stop: usize,
    ) -> PyResult<(usize, usize, Bound<'py, PyDict>)> {
        let (next, rows, columns) = py
            .detach(|| part_columns(&self.inner, start..stop))
            .map_err(value_error)?;
        Ok((next, rows, by_name(py, columns)?))
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

/// Columns as a dict of Arrow bytes.
fn by_name<'py>(py: Python<'py>, columns: Columns) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, column) in columns {
        let bytes = |part: Option<Vec<u8>>| part.map(|bytes| PyBytes::new(py, &bytes));
        let column: ColumnBytes<'py> = (
            bytes(column.valid),
            bytes(column.offsets),
            PyBytes::new(py, &column.data),
        );
        dict.set_item(name, column)?;
    }
    Ok(dict)
}

/// Run work on a thread of its own while this one, Python's main thread, answers signals.
fn interruptible<T: Send>(py: Python<'_>, work: impl FnOnce(&AtomicBool) -> T + Send) -> PyResult<T> {
    let stop = AtomicBool::new(false);
    interruptible_while(py, &stop, || Ok(()), || work(&stop))
}

/// [`interruptible`] with a flag of the caller's, and with something to do on this thread meanwhile.
pub(crate) fn interruptible_while<T: Send>(
    py: Python<'_>,
    stop: &AtomicBool,
    mut meanwhile: impl FnMut() -> PyResult<()>,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    let done = AtomicBool::new(false);
    let here = std::thread::current();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _report = Report {
                done: &done,
                to: &here,
            };
            work()
        });
        let mut answer = Ok(());
        while !done.load(Ordering::Acquire) && answer.is_ok() {
            py.detach(|| std::thread::park_timeout(Duration::from_millis(50)));
            answer = py.check_signals().and_then(|()| meanwhile());
        }
        stop.store(answer.is_err(), Ordering::Relaxed);
        let result = py.detach(|| thread.join());
        answer?;
        Ok(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Says when it is dropped, by a panic too, that the work is done, and wakes the thread that waits for it.
///
/// Whether a thread has finished would not do: where both share a core, the one that waits wakes before the other has
/// ended, and waits on.
struct Report<'a> {
    done: &'a AtomicBool,
    to: &'a Thread,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        self.to.unpark();
    }
}
