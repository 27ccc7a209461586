//! Files and containers of other machines: Python brings their bytes.

use super::Archive;
use crate::codes::known_code;
use crate::fetch::not_given;
use crate::remote::{Feed, ZipDirectory};
use crate::settings::value_error;
use ctprune_archive::discover::files::Stamp;
use ctprune_dicom::code::Reason as GateReason;
use ctprune_dicom::error::ReadError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

#[pymethods]
impl Archive {
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

    /// A file elsewhere cannot be read, for this reason and with this code; None: it is a container, and a folder with its
    /// name and `!` stands beside it.
    fn refuse_remote(&mut self, file: u32, reason: Option<String>, code: &str) -> PyResult<()> {
        let code = known_code(code)?;
        let reason = reason.map(|reason| ReadError::Other(GateReason::new(code, reason)));
        self.inner.refuse_remote(file, reason).map_err(value_error)
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
}
