//! The Python extension module `ctprune._core`: arguments in, core called without the GIL, errors mapped once.

mod archive;
mod cosine;
mod encode;
mod fingerprint;
mod frames;
mod images;
mod info;
mod packed;
mod selection;
mod settings;
mod similarity;

use pyo3::prelude::*;

/// Rust core of ctprune.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("PNG_HU_OFFSET", ctprune_archive::frames::PNG_HU_OFFSET as i64)?;
    module.add_class::<archive::Archive>()?;
    module.add_function(wrap_pyfunction!(settings::canonical_intensity, module)?)?;
    module.add_function(wrap_pyfunction!(settings::check_pattern, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprint::fingerprint_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprint::dhash, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprint::hamming, module)?)?;
    module.add_function(wrap_pyfunction!(selection::select_exemplars, module)?)?;
    module.add_function(wrap_pyfunction!(info::describe, module)?)?;
    module.add_function(wrap_pyfunction!(frames::read_hu, module)?)?;
    module.add_function(wrap_pyfunction!(frames::export_png, module)?)?;
    module.add_function(wrap_pyfunction!(cosine::cosine_exemplars, module)?)?;
    module.add_function(wrap_pyfunction!(packed::pack, module)?)?;
    module.add_function(wrap_pyfunction!(packed::pack_decoded, module)?)?;
    module.add_class::<similarity::PixelSweep>()?;
    module.add_function(wrap_pyfunction!(similarity::ssim, module)?)?;
    module.add_function(wrap_pyfunction!(similarity::mutual_information, module)?)?;
    module.add_function(wrap_pyfunction!(encode::encode_frame, module)?)
}
