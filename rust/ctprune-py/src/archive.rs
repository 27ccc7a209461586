//! `Archive`: the steps from sources to a manifest.

use crate::codes::known_code;
use crate::fetch::{fetching, not_given};
use crate::foreign::decoding;
use crate::images::Images;
use crate::info::slice_info;
use crate::manifest::ManifestReader;
use crate::manifest_error::manifest_error;
use crate::pseudonyms::secret;
use crate::remote::{Feed, ZipDirectory};
use crate::rows::Rows;
use crate::settings::{compile, settings, value_error};
use ctprune_archive::archive::{self as core, Reason};
use ctprune_archive::discover::files::Stamp;
use ctprune_archive::discover::shard::Shard;
use ctprune_archive::methods::{Request, Share};
use ctprune_archive::rows::manifest_writer::ROWS_PER_GROUP;
use ctprune_archive::volumes::geometry::GeometryFlags;
use ctprune_archive::volumes::order::Order;
use ctprune_core::watch::Watch;
use ctprune_dicom::code::Reason as GateReason;
use ctprune_dicom::error::ReadError;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};
use regex::Regex;
use std::path::PathBuf;
use std::time::Duration;

/// Rows, whether each is kept now, the index of its reason, and the reasons.
type Changes<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<bool>>,
    Bound<'py, PyArray1<u8>>,
    Vec<&'static str>,
);

/// An archive, from its files to a manifest; each step works for a portion of time without the GIL.
#[pyclass]
pub struct Archive {
    inner: core::Archive,
    adoption: Option<core::Adoption>,
}

#[pymethods]
impl Archive {
    #[new]
    #[pyo3(signature = (*, fingerprint, hash_size, intensity, modality, max_slice_mb, threads, reads=0, headers_only=false))]
    #[allow(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn new(
        fingerprint: &str,
        hash_size: usize,
        intensity: &str,
        modality: &str,
        max_slice_mb: u64,
        threads: usize,
        reads: usize,
        headers_only: bool,
    ) -> PyResult<Self> {
        let mut settings = settings(fingerprint, hash_size, intensity, modality, max_slice_mb)?;
        settings.read.headers_only = headers_only;
        Ok(Self {
            inner: core::Archive::new(settings, threads, reads).map_err(value_error)?,
            adoption: None,
        })
    }

    /// Declare a source, before anything is taken over: sources come in this order; a file's source is its folder.
    fn declare_source(&mut self, root: PathBuf) {
        self.inner.declare_source(&root);
    }

    /// Leave all files to others but those of share `number`, from 1, of `of`; before anything is taken over.
    fn set_shard(&mut self, number: u32, of: u32) -> PyResult<()> {
        self.inner.set_shard(shard(number, of)?);
        Ok(())
    }

    /// Take earlier tables as they are, refusals too; `finish_without_discovery` ends it.
    fn take_whole(&mut self) {
        self.inner.take_whole();
    }

    /// Take all that earlier tables know for what there is: no source is walked.
    fn finish_without_discovery(&mut self) {
        self.inner.finish_without_discovery();
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

    /// Give pseudonyms with this key, at least 32 bytes, and take over only rows that have them; before all else.
    /// With `keep_originals` there are lines of a table.
    fn pseudonymize(&mut self, key: &[u8], sources: Vec<PathBuf>, keep_originals: bool) -> PyResult<()> {
        self.inner.pseudonymize(secret(key)?, sources, keep_originals);
        Ok(())
    }

    /// Name what lies on other machines, paths by source, so that rows of an earlier run with pseudonyms are known.
    fn name_remote(&mut self, listed: Vec<(String, Vec<String>)>) {
        self.inner.name_remote(listed);
    }

    /// Kind, pseudonym and original of some lines of the table; none after the last one.
    fn pseudonym_lines(&self, start: usize, stop: usize) -> Vec<(&'static str, String, String)> {
        (start..stop)
            .map_while(|number| self.inner.pseudonym_line(number))
            .collect()
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

    /// Take in files of another machine: path relative to the source, which is an address; size; version.
    fn add_found(&mut self, source: &str, found: Vec<(String, u64, i64)>) -> PyResult<()> {
        found
            .iter()
            .try_for_each(|(path, size, version)| {
                let stamp = Stamp {
                    size: *size,
                    version: *version,
                };
                self.inner.add_found(source, path, stamp)
            })
            .map_err(value_error)
    }

    /// Take in what a DICOMDIR of another machine lists: its path relative to the source, its bytes, and path, size and
    /// version of all that it may mean.
    fn add_found_dicomdir(
        &mut self,
        source: &str,
        path: &str,
        content: &[u8],
        found: Vec<(String, u64, i64)>,
    ) -> PyResult<()> {
        let found: Vec<_> = found
            .into_iter()
            .map(|(path, size, version)| (path, Stamp { size, version }))
            .collect();
        self.inner
            .add_found_dicomdir(source, path, content, &found)
            .map_err(value_error)
    }

    /// Number, address, size and version of some files of other machines that are to be read; fewer at the end.
    fn remote(&self, start: usize, stop: usize) -> Vec<(u32, String, u64, i64)> {
        let found = self.inner.remote(start..stop);
        found
            .map(|(file, location, stamp)| (file, location.to_string(), stamp.size, stamp.version))
            .collect()
    }

    /// Read files of other machines: for each its number, and its bytes or a text that says why there are none.
    fn read_remote(&mut self, py: Python<'_>, found: Vec<(u32, Bound<'_, PyAny>)>) -> PyResult<()> {
        let found = found
            .into_iter()
            .map(|(file, content)| match content.cast::<PyBytes>() {
                Ok(bytes) => Ok((file, Ok(PyBackedBytes::from(bytes.clone())))),
                Err(_) => Ok((file, Err(not_given(content.extract()?)))),
            })
            .collect::<PyResult<Vec<_>>>()?;
        py.detach(|| self.inner.read_remote(found)).map_err(value_error)
    }

    /// Number, address, size and version of files of other machines that are containers; each is given once.
    fn take_remote_containers(&mut self) -> Vec<(u32, String, u64, i64)> {
        let found = self.inner.take_remote_containers();
        found
            .into_iter()
            .map(|(file, location, stamp)| (file, location.to_string(), stamp.size, stamp.version))
            .collect()
    }

    /// One of those is none: read it like other files.
    fn put_back_remote(&mut self, file: u32) {
        self.inner.put_back_remote(file);
    }

    /// One of those cannot be read, for this reason and with this code; None: a folder with its name and `!` stands
    /// beside it.
    fn refuse_remote_container(&mut self, file: u32, reason: Option<String>, code: &str) -> PyResult<()> {
        let code = known_code(code)?;
        let reason = reason.map(|reason| ReadError::Other(GateReason::new(code, reason)));
        self.inner
            .refuse_remote_container(file, reason)
            .map_err(value_error)
    }

    /// One of those is a zip file with this directory.
    fn open_remote_zip(&mut self, py: Python<'_>, file: u32, directory: &ZipDirectory) -> PyResult<()> {
        py.detach(|| self.inner.open_remote_zip(file, directory.index()))
            .map_err(value_error)
    }

    /// One of those is a tar file with these first bytes, which this feed will give while `read` is called.
    fn open_remote_tar(&mut self, file: u32, feed: &Feed, head: &[u8]) -> PyResult<()> {
        self.inner
            .open_remote_tar(file, feed.inner(), head)
            .map_err(value_error)
    }

    /// Numbers and addresses of DICOM files of a kind that is not known here: another reader may try.
    fn unsupported(&mut self) -> Vec<(u32, PathBuf)> {
        let files = self.inner.unsupported();
        files
            .into_iter()
            .map(|file| (file, self.inner.files().locate(file).address()))
            .collect()
    }

    /// Addresses of files of which another reader has read slices.
    fn foreign(&self) -> Vec<PathBuf> {
        let files = self.inner.foreign();
        let address = |file| self.inner.files().locate(file).address();
        files.into_iter().map(address).collect()
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
    /// With a code in place of Rust's where that says more.
    #[pyo3(signature = (file, refused, code=None))]
    fn end_foreign(&mut self, file: u32, refused: Option<&str>, code: Option<&str>) -> PyResult<()> {
        let code = code.map(known_code).transpose()?;
        let refused = refused.map(|reason| (reason, code));
        self.inner.end_foreign(file, refused).map_err(value_error)
    }

    /// Files that could not be read, files that were tried, and numbers by code, the most frequent first.
    fn failures(&self) -> (u64, u64, Vec<(&'static str, u64)>) {
        let failures = self.inner.failures();
        let codes = failures.by_code();
        let named = codes.iter().map(|(code, count)| (code.name(), *count)).collect();
        (failures.files(), failures.tried, named)
    }

    /// Address, code and reason of the first file that could not be read.
    fn first_failure(&self) -> Option<(PathBuf, &'static str, String)> {
        let (path, reason) = self.inner.first_failure()?;
        Some((path, reason.code.name(), reason.text.clone().into_owned()))
    }

    /// Group into volumes, in order.
    #[pyo3(signature = (order, volume_pattern))]
    fn group(&mut self, py: Python<'_>, order: &str, volume_pattern: Option<&str>) -> PyResult<()> {
        let order = match order {
            "position" => Order::Position,
            "path" => Order::Path,
            other => {
                return Err(value_error(format!(
                    "order: expected position or path, found {other:?}"
                )));
            }
        };
        let pattern = volume_pattern.map(compile).transpose()?;
        py.detach(|| self.inner.group(order, pattern.as_ref()));
        Ok(())
    }

    /// Leave these grouped slices out, by their numbers in order, with this code and reason; group again afterwards.
    fn gate(&mut self, slices: PyReadonlyArray1<'_, u32>, code: &str, reason: &str) -> PyResult<()> {
        let slices = slices.as_slice()?;
        if slices
            .iter()
            .any(|&slice| slice as usize >= self.inner.volumes().order.len())
        {
            return Err(value_error("a slice to leave out is not one of the grouped ones"));
        }
        self.inner
            .gate(slices, &GateReason::new(known_code(code)?, reason.to_owned()));
        Ok(())
    }

    /// Read only files whose path relative to their source matches this regular expression or another one given
    /// so; before any source is added.
    fn include(&mut self, pattern: &str) -> PyResult<()> {
        let pattern = Regex::new(pattern).map_err(|error| value_error(error.to_string()))?;
        self.inner.include(pattern);
        Ok(())
    }

    /// Choose among the grouped slices; KeyboardInterrupt stops it.
    ///
    /// `decode(path, frames)` reads slices that only another reader can; `fetch` gives what is on other machines;
    /// `progress` is called with the number of slices decided on by methods that read pixels. `stable` keeps what was
    /// kept before; `volumes` are those to choose in.
    #[pyo3(signature = (*, method, threshold, keep, budget, n, seed, window, max_gap_mm, whole_archive, stable, volumes, decode, fetch, progress))]
    #[allow(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn select(
        slf: &Bound<'_, Self>,
        method: String,
        threshold: Option<f64>,
        keep: Option<f64>,
        budget: Option<usize>,
        n: Option<usize>,
        seed: Option<u64>,
        window: Option<String>,
        max_gap_mm: Option<f64>,
        whole_archive: bool,
        stable: bool,
        volumes: Option<Vec<u32>>,
        decode: &Bound<'_, PyAny>,
        fetch: Option<&Bound<'_, PyAny>>,
        progress: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let request = Request {
            method,
            threshold,
            share: Share { keep, budget },
            n: n.unwrap_or(1),
            seed: seed.unwrap_or(0),
            clusters: None,
            window: window.unwrap_or_default(),
            max_gap_mm,
        };
        let wish = core::Wish {
            whole_archive,
            stable,
            volumes: volumes.as_deref(),
        };
        let watch = Watch::default();
        // Only read from until there is a choice, so that `progress` may ask how far it has come.
        let shared = slf.borrow();
        let inner = &shared.inner;
        let intensity = inner.settings().intensity;
        let choice = fetching(fetch, &watch, |fetch| {
            decoding(slf.py(), intensity, &watch, decode, progress, |decode| {
                inner.choose(&request, wish, decode, fetch, &watch)
            })?
            .map_err(value_error)
        })?;
        drop(shared);
        slf.borrow_mut().inner.set_choice(choice, volumes.is_some());
        Ok(())
    }

    /// Take over the selections of a file, volume by volume, where a volume has the same slices here.
    fn adopt(&mut self, py: Python<'_>, reader: &ManifestReader) -> PyResult<()> {
        let Self { inner, adoption } = self;
        let adoption = adoption.get_or_insert_with(|| core::Adoption::new(inner));
        py.detach(|| {
            adoption.begin();
            for batch in reader.inner().batches(None, ROWS_PER_GROUP)? {
                adoption.add(inner, &batch?);
            }
            adoption.settle(inner);
            Ok(())
        })
        .map_err(manifest_error)
    }

    /// End the taking over; returns the volumes that are still to be chosen in.
    fn finish_adoption(&mut self) -> Vec<u32> {
        let adoption = self.adoption.take();
        let adoption = adoption.unwrap_or_else(|| core::Adoption::new(&self.inner));
        self.inner.adopt(adoption)
    }

    /// Numbers of the volumes that belong to share `number`, from 1, of `of`.
    fn volumes_of(&self, number: u32, of: u32) -> PyResult<Vec<u32>> {
        Ok(self.inner.volumes_of(shard(number, of)?))
    }

    /// The slices of these volumes as a manifest of their own, whose rows and volumes go on from these numbers. First
    /// goes the number of the next row.
    fn volume_rows(&self, py: Python<'_>, volumes: Vec<u32>, row: u32, first_volume: u32) -> (u32, Rows) {
        let (next, batch) = py.detach(|| self.inner.volumes_batch(&volumes, row, first_volume));
        (next, Rows::new(batch.schema(), vec![batch]))
    }

    /// Whether an earlier selection is known.
    fn has_decisions(&self) -> bool {
        self.inner.has_decisions()
    }

    /// Whether each grouped slice was kept by the earlier selection, and its file is the same; shape (n,).
    fn kept_before<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<bool>> {
        PyArray1::from_vec(py, self.inner.kept_before())
    }

    /// The slices that are decided on otherwise than before: their manifest rows, whether they are kept now, and the
    /// index of the reason of each; then the reasons.
    fn changes<'py>(&self, py: Python<'py>) -> Changes<'py> {
        let changes = py.detach(|| self.inner.changes());
        let reasons = changes.iter().map(|change| change.reason.index()).collect();
        (
            PyArray1::from_iter(py, changes.iter().map(|change| change.row)),
            PyArray1::from_iter(py, changes.iter().map(|change| change.is_kept)),
            PyArray1::from_vec(py, reasons),
            Reason::ALL.map(Reason::sentence).to_vec(),
        )
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

    /// How far along the body each dropped slice is from its exemplar, in mm, float32; only slices with positions whose
    /// exemplar is in their volume.
    fn gaps_mm<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_vec(py, self.inner.gaps_mm())
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

fn shard(number: u32, of: u32) -> PyResult<Shard> {
    Shard::new(number, of)
        .ok_or_else(|| value_error(format!("shard {number}/{of}: expected 1/{of} to {of}/{of}")))
}

/// Numbers by reason, in their order.
pub(crate) fn counted<'py>(py: Python<'py>, reasons: &[(String, usize)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (reason, count) in reasons {
        dict.set_item(reason, count)?;
    }
    Ok(dict)
}
