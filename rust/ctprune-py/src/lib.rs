//! The Python extension module `ctprune._core`: arguments in, core called without the GIL, errors mapped once.

mod encode;

use pyo3::prelude::*;

/// Rust core of ctprune.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(encode::encode_frame, module)?)
}
