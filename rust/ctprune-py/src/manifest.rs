//! A manifest's file, to and from Python.

use crate::manifest_error::manifest_error;
use crate::rows::Rows;
use ctprune_archive::rows::manifest_reader::{self, Batches};
use ctprune_archive::rows::manifest_writer;
use ctprune_archive::rows::{schema, seal};
use ctprune_core::fingerprint;
use pyo3::prelude::*;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The columns as the table in Markdown that the documentation shows.
#[pyfunction]
pub fn manifest_columns() -> String {
    schema::documentation()
}

/// What stands under ctprune's key in the metadata of a Parquet file; None when it is no such file.
#[pyfunction]
pub fn parquet_metadata(file: PathBuf) -> Option<String> {
    manifest_reader::metadata_of(&file)
}

/// The SHA-256 in the seal of a manifest's file, in hexadecimal; None where there is none. Nothing is compared.
#[pyfunction]
pub fn sealed_digest(file: PathBuf) -> PyResult<Option<String>> {
    Ok(seal::digest(&File::open(file)?)?)
}

/// A manifest's file that was found to be sound.
#[pyclass(frozen)]
pub struct ManifestReader {
    inner: manifest_reader::ManifestReader,
}

impl ManifestReader {
    /// The reader without Python.
    pub fn inner(&self) -> &manifest_reader::ManifestReader {
        &self.inner
    }
}

#[pymethods]
impl ManifestReader {
    #[new]
    fn new(py: Python<'_>, file: PathBuf) -> PyResult<Self> {
        let inner = py.detach(|| manifest_reader::ManifestReader::open(&file));
        Ok(Self {
            inner: inner.map_err(manifest_error)?,
        })
    }

    fn __len__(&self) -> usize {
        self.inner.rows()
    }

    /// Version and configuration, as JSON.
    #[getter]
    fn about(&self) -> &str {
        self.inner.about()
    }

    /// All rows, or some of their columns, in memory.
    #[pyo3(signature = (columns=None))]
    fn rows(&self, py: Python<'_>, columns: Option<Vec<String>>) -> PyResult<Rows> {
        let all = py.detach(|| {
            let batches = self
                .inner
                .batches(columns.as_deref(), manifest_writer::ROWS_PER_GROUP)?;
            let schema = batches.schema();
            Ok((schema, batches.collect::<Result<Vec<_>, _>>()?))
        });
        let (schema, batches) = all.map_err(manifest_error)?;
        Ok(Rows::new(schema, batches))
    }

    /// All rows, at most `size` at a time.
    #[pyo3(signature = (columns=None, size=65536))]
    fn batches(&self, columns: Option<Vec<String>>, size: usize) -> PyResult<RowBatches> {
        let batches = self
            .inner
            .batches(columns.as_deref(), size)
            .map_err(manifest_error)?;
        Ok(RowBatches {
            inner: Mutex::new(batches),
        })
    }
}

/// Rows of a manifest, some at a time.
#[pyclass(frozen)]
pub struct RowBatches {
    inner: Mutex<Batches>,
}

#[pymethods]
impl RowBatches {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Rows>> {
        let batch = py.detach(|| self.inner.lock().unwrap_or_else(PoisonError::into_inner).next());
        let batch = batch.transpose().map_err(manifest_error)?;
        Ok(batch.map(|batch| Rows::new(batch.schema(), vec![batch])))
    }
}

/// A manifest's file while it is written.
#[pyclass(frozen)]
pub struct ManifestWriter {
    inner: Mutex<Option<manifest_writer::ManifestWriter>>,
}

#[pymethods]
impl ManifestWriter {
    #[new]
    fn new(file: PathBuf, hash_size: usize, about: &str) -> PyResult<Self> {
        let width = fingerprint::bytes(hash_size);
        let inner = manifest_writer::ManifestWriter::create(&file, width, about).map_err(manifest_error)?;
        Ok(Self {
            inner: Mutex::new(Some(inner)),
        })
    }

    /// Add these rows.
    fn write(&self, py: Python<'_>, rows: &Rows) -> PyResult<()> {
        let written = py.detach(|| {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            rows.batches()
                .iter()
                .try_for_each(|batch| inner.as_mut().map_or(Ok(()), |writer| writer.write(batch)))
        });
        written.map_err(manifest_error)
    }

    /// Write what is left, the checksum and the footer.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let finished = py.detach(|| {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner
                .take()
                .map_or(Ok(()), manifest_writer::ManifestWriter::finish)
        });
        finished.map_err(manifest_error)
    }
}
