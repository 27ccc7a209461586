//! The Python extension module `ctprune._core`: arguments in, core called without the GIL, errors mapped once.

mod archive;
mod codes;
mod cosine;
mod duplicates;
mod encode;
mod fetch;
mod fingerprint;
mod foreign;
mod images;
mod info;
mod interrupt;
mod manifest;
mod manifest_error;
mod members;
mod memory;
mod methods;
mod nearest;
mod pixels;
mod points;
mod pool;
mod pseudonyms;
mod remote;
mod resize;
mod rows;
mod selection;
mod settings;
mod similarity;
mod spacing;

use pyo3::prelude::*;

#[global_allocator]
static MEMORY: memory::SystemOrSentence = memory::SystemOrSentence;

/// Rust core of ctprune.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add(
        "PNG_HU_OFFSET",
        ctprune_archive::pixels::png::PNG_HU_OFFSET as i64,
    )?;
    module.add(
        "MANIFEST_VERSION",
        ctprune_archive::rows::schema::MANIFEST_VERSION,
    )?;
    module.add("IS_CHECKED", cfg!(debug_assertions))?;
    module.add("KERNELS_VERSION", ctprune_archive::kernels::KERNELS_VERSION)?;
    module.add("DEFAULT_FINGERPRINT", methods::default_fingerprint())?;
    module.add_function(wrap_pyfunction!(methods::methods, module)?)?;
    module.add_function(wrap_pyfunction!(methods::nearest_kept, module)?)?;
    module.add_class::<archive::Archive>()?;
    module.add_class::<rows::Rows>()?;
    module.add_class::<pseudonyms::Names>()?;
    module.add_function(wrap_pyfunction!(pseudonyms::key_fingerprint, module)?)?;
    module.add_function(wrap_pyfunction!(pseudonyms::pseudonym, module)?)?;
    module.add_class::<manifest::ManifestReader>()?;
    module.add_class::<manifest::RowBatches>()?;
    module.add_class::<manifest::ManifestWriter>()?;
    module.add_function(wrap_pyfunction!(manifest::manifest_columns, module)?)?;
    module.add_function(wrap_pyfunction!(manifest::parquet_metadata, module)?)?;
    module.add_function(wrap_pyfunction!(manifest::sealed_digest, module)?)?;
    module.add_function(wrap_pyfunction!(settings::canonical_intensity, module)?)?;
    module.add_function(wrap_pyfunction!(codes::codes, module)?)?;
    module.add_function(wrap_pyfunction!(codes::codes_documentation, module)?)?;
    module.add_function(wrap_pyfunction!(codes::gate_codes, module)?)?;
    module.add_function(wrap_pyfunction!(settings::check_pattern, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprint::fingerprint, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprint::hamming, module)?)?;
    module.add_function(wrap_pyfunction!(selection::select_exemplars, module)?)?;
    module.add_function(wrap_pyfunction!(duplicates::find_pairs, module)?)?;
    module.add_function(wrap_pyfunction!(duplicates::nearest_within, module)?)?;
    module.add_function(wrap_pyfunction!(duplicates::turned, module)?)?;
    module.add_function(wrap_pyfunction!(info::describe, module)?)?;
    module.add_function(wrap_pyfunction!(info::header_decides, module)?)?;
    module.add_function(wrap_pyfunction!(members::container_of, module)?)?;
    module.add_function(wrap_pyfunction!(members::dicomdir_files, module)?)?;
    module.add_function(wrap_pyfunction!(members::is_dicomdir, module)?)?;
    module.add_function(wrap_pyfunction!(members::is_packed, module)?)?;
    module.add_function(wrap_pyfunction!(members::kind_of_container, module)?)?;
    module.add_function(wrap_pyfunction!(members::visit_bytes, module)?)?;
    module.add_class::<remote::ZipDirectory>()?;
    module.add_class::<remote::Feed>()?;
    module.add_class::<remote::StoredContainer>()?;
    module.add_function(wrap_pyfunction!(remote::container_kind_by_head, module)?)?;
    module.add_function(wrap_pyfunction!(remote::promises_container, module)?)?;
    module.add_function(wrap_pyfunction!(pixels::read_hu, module)?)?;
    module.add_function(wrap_pyfunction!(pixels::export_png, module)?)?;
    module.add_function(wrap_pyfunction!(cosine::cosine_exemplars, module)?)?;
    module.add_function(wrap_pyfunction!(points::choose_points, module)?)?;
    module.add_function(wrap_pyfunction!(points::retrieve_points, module)?)?;
    module.add_function(wrap_pyfunction!(resize::read_resized, module)?)?;
    module.add_function(wrap_pyfunction!(resize::resize_decoded, module)?)?;
    module.add_class::<similarity::PixelSweep>()?;
    module.add_function(wrap_pyfunction!(spacing::slice_spacing, module)?)?;
    module.add_function(wrap_pyfunction!(similarity::ssim, module)?)?;
    module.add_function(wrap_pyfunction!(similarity::mutual_information, module)?)?;
    module.add_function(wrap_pyfunction!(encode::encode_frame, module)?)
}
