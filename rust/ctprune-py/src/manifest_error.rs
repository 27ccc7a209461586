//! What is wrong with a manifest, or another table, as an exception.

use ctprune_archive::rows::error::ManifestError as Error;
use pyo3::exceptions::PyOSError;
use pyo3::{PyErr, import_exception};

import_exception!(ctprune.errors, ManifestError);

/// The exception of an error of a manifest.
pub fn manifest_error(error: Error) -> PyErr {
    match error {
        // Who opened the file for writing knows what it will be called.
        Error::Unwritable { found, .. } => PyOSError::new_err(found),
        _ => ManifestError::new_err(error.to_string()),
    }
}
