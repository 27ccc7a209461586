//! The Python extension module `ctprune._core`: arguments in, core called without the GIL, errors mapped once.

use pyo3::prelude::*;

/// Rust core of ctprune.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
