//! Bytes of what is not on this machine, from the Python object that fetches them.

use ctprune_archive::open::Fetch;
use ctprune_core::watch::Watch;
use ctprune_dicom::code::{Code, Reason};
use ctprune_dicom::error::ReadError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Mutex, PoisonError};

/// Seconds to wait for bytes before looking whether to stop.
const LOOK: f64 = 0.1;

/// Runs `work` with what fetches by a Python object: its `soon(addresses)` is told what will be needed, its
/// `take(address, seconds)` gives bytes, a text that says why there are none, or None when they are not there yet.
///
/// What `take` raises stops the watch and is raised here once the work has ended.
pub fn fetching<T>(
    fetch: Option<&Bound<'_, PyAny>>,
    watch: &Watch,
    work: impl FnOnce(Option<&dyn Fetch>) -> PyResult<T>,
) -> PyResult<T> {
    let Some(fetch) = fetch else {
        return work(None);
    };
    let fetch = PythonFetch {
        object: fetch.clone().unbind(),
        watch,
        failure: Mutex::new(None),
    };
    let result = work(Some(&fetch));
    match fetch.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => result,
    }
}

struct PythonFetch<'a> {
    object: Py<PyAny>,
    watch: &'a Watch,
    failure: Mutex<Option<PyErr>>,
}

impl PythonFetch<'_> {
    fn take(&self, py: Python<'_>, address: &str) -> PyResult<Option<Result<Vec<u8>, ReadError>>> {
        let found = self.object.bind(py).call_method1("take", (address, LOOK))?;
        if found.is_none() {
            return Ok(None);
        }
        if let Ok(bytes) = found.cast::<PyBytes>() {
            return Ok(Some(Ok(bytes.as_bytes().to_vec())));
        }
        Ok(Some(Err(not_given(found.extract()?))))
    }

    fn fail(&self, failure: PyErr) {
        self.watch.stop();
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
    }
}

impl Fetch for PythonFetch<'_> {
    fn soon(&self, addresses: &[&str]) {
        let told = Python::attach(|py| {
            self.object
                .bind(py)
                .call_method1("soon", (addresses,))
                .map(|_| ())
        });
        if let Err(failure) = told {
            self.fail(failure);
        }
    }

    fn fetch(&self, address: &str) -> Result<Vec<u8>, ReadError> {
        while !self.watch.is_stopped() {
            match Python::attach(|py| self.take(py, address)) {
                Ok(None) => {}
                Ok(Some(found)) => return found,
                Err(failure) => self.fail(failure),
            }
        }
        Err(ReadError::Invalid("the reading was stopped"))
    }
}

/// Why a server did not give an object.
pub fn not_given(reason: String) -> ReadError {
    ReadError::Other(Reason::new(Code::Network, reason))
}
