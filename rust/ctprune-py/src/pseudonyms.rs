//! `Names`: the files behind pseudonyms, for who has the key and the sources.

use crate::settings::value_error;
use ctprune_archive::pseudonyms::key::{Key, Kind, MIN_KEY_BYTES};
use ctprune_archive::pseudonyms::names;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The files behind pseudonyms: lists the sources.
#[pyclass(frozen)]
pub struct Names {
    inner: Mutex<names::Names>,
}

#[pymethods]
impl Names {
    #[new]
    fn new(py: Python<'_>, key: &[u8], sources: Vec<PathBuf>) -> PyResult<Self> {
        let key = secret(key)?;
        Ok(Self {
            inner: Mutex::new(py.detach(|| names::Names::of(&key, &sources))),
        })
    }

    /// Take in files of another machine, or members of containers there, by their paths relative to a source.
    fn add(&self, source: &str, paths: Vec<String>) {
        self.names().add(source, paths.iter().map(String::as_str));
    }

    /// Source and path behind their pseudonyms; None when no file of these sources has them. Lists containers of this
    /// machine that a pseudonym leads into.
    fn find(&self, py: Python<'_>, source: &str, path: &str) -> Option<(String, String)> {
        py.detach(|| self.names().find(source, path))
    }

    /// Source and path of the container of another machine that these pseudonyms lead into, each once.
    fn unlisted_container(&self, source: &str, path: &str) -> Option<(String, String)> {
        self.names().unlisted_container(source, path)
    }

    /// Whether a source's pseudonym is one of these sources'.
    fn has_source(&self, source: &str) -> bool {
        self.names().has_source(source)
    }
}

impl Names {
    fn names(&self) -> MutexGuard<'_, names::Names> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fingerprint of a key of at least 32 bytes.
#[pyfunction]
pub fn key_fingerprint(key: &[u8]) -> PyResult<String> {
    Ok(secret(key)?.fingerprint().to_owned())
}

/// The pseudonym of a name with a key: of a path below its source, or of a UID.
#[pyfunction]
pub fn pseudonym(key: &[u8], kind: &str, name: &str) -> PyResult<String> {
    let key = secret(key)?;
    match [
        Kind::Source,
        Kind::Path,
        Kind::Study,
        Kind::Series,
        Kind::Instance,
        Kind::FrameOfReference,
    ]
    .into_iter()
    .find(|known| known.name() == kind)
    {
        Some(Kind::Source) => Ok(key.source(name)),
        Some(Kind::Path) => Ok(key.path(name)),
        Some(kind) => Ok(key.uid(kind, name)),
        None => Err(value_error(format_args!("unknown kind of name {kind:?}"))),
    }
}

/// The key of these bytes; ValueError when they are too few.
pub fn secret(bytes: &[u8]) -> PyResult<Key> {
    let found = bytes.len();
    Key::new(bytes).ok_or_else(|| {
        value_error(format_args!(
            "expected {MIN_KEY_BYTES} bytes or more, found {found}"
        ))
    })
}
