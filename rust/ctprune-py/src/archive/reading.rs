//! Reading files, and taking in what another reader found in those of a kind that is not known here.

use super::Archive;
use crate::codes::known_code;
use crate::images::Images;
use crate::info::slice_info;
use crate::settings::value_error;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::time::Duration;

#[pymethods]
impl Archive {
    /// Read files for about this many seconds; False when all are read.
    fn read(&mut self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        py.detach(|| self.inner.read(Duration::from_secs_f64(seconds)))
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
}
