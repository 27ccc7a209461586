//! Options that both sides must understand alike.

use ctprune_archive::fingerprint_file::Settings;
use ctprune_archive::methods::{DEFAULT_FINGERPRINT, fingerprint_kind};
use ctprune_core::fingerprint::MIN_HASH_SIZE;
use ctprune_core::intensity::Intensity;
use ctprune_core::resample::PassOrder;
use ctprune_dicom::slice::ReadOptions;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regex::Regex;

/// Maps a core error to the exception that its Python caller turns into one of ctprune's.
pub fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// What decides how files are read and hashed.
pub fn settings(
    fingerprint: &str,
    hash_size: usize,
    intensity: &str,
    modality: &str,
    max_slice_mb: u64,
) -> PyResult<Settings> {
    Ok(Settings {
        fingerprint: fingerprint_kind(fingerprint).map_err(value_error)?,
        hash_size,
        intensity: Intensity::parse(intensity).map_err(value_error)?,
        pass_order: PassOrder::ByShape,
        read: read_options(modality, max_slice_mb),
    })
}

/// What decides how files are read for their pixels alone.
pub fn pixel_settings(intensity: &str, modality: &str, max_slice_mb: u64) -> PyResult<Settings> {
    settings(
        DEFAULT_FINGERPRINT.name,
        MIN_HASH_SIZE,
        intensity,
        modality,
        max_slice_mb,
    )
}

/// Limits for the readers.
pub fn read_options(modality: &str, max_slice_mb: u64) -> ReadOptions {
    ReadOptions {
        modality: modality.to_owned(),
        max_slice_bytes: max_slice_mb << 20,
        take_turns: false,
        headers_only: false,
    }
}

/// The form of an intensity that stands in the manifest; ValueError when it is not known.
#[pyfunction]
pub fn canonical_intensity(text: &str) -> PyResult<String> {
    let intensity = Intensity::parse(text);
    let intensity = intensity.map_err(|error| value_error(format_args!("expected {}", error.expected)))?;
    Ok(intensity.to_string())
}

/// ValueError when a volume pattern is not a regular expression of one group.
#[pyfunction]
pub fn check_pattern(pattern: &str) -> PyResult<()> {
    compile(pattern).map(|_| ())
}

/// The compiled volume pattern.
pub fn compile(pattern: &str) -> PyResult<Regex> {
    let regex = Regex::new(pattern).map_err(|error| {
        // The last line says what is wrong; those before it draw where.
        value_error(
            error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: "),
        )
    })?;
    match regex.captures_len() - 1 {
        1 => Ok(regex),
        groups => Err(value_error(format!(
            "expected one group in parentheses, found {groups}"
        ))),
    }
}
