//! `Archive`: the steps from sources to a manifest, one file each.

mod reading;
mod remote;
mod selecting;
mod sources;
mod tables;

pub(crate) use selecting::counted;

use crate::settings::{settings, value_error};
use ctprune_archive::archive as core;
use ctprune_archive::discover::shard::Shard;
use pyo3::prelude::*;
use pyo3::types::PyDict;

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
