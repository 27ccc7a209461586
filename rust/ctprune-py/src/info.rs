//! Descriptions of slices, to and from Python.

use crate::settings::settings;
use ctprune_archive::reader::rows_of_file;
use ctprune_archive::table::NewRow;
use ctprune_dicom::slice::{Refusal, SliceInfo};
use ctprune_dicom::text::{code_string, limit_text, limit_uid, uid};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;

/// What ctprune sees in one file: a dict for each slice or refusal.
#[pyfunction]
pub fn describe<'py>(
    py: Python<'py>,
    path: PathBuf,
    hash_size: usize,
    intensity: &str,
    modality: &str,
    max_slice_mb: u64,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let settings = settings(hash_size, intensity, modality, max_slice_mb)?;
    let rows = py.detach(|| rows_of_file(&path, 0, &settings));
    rows.iter().map(|row| description(py, row, hash_size)).collect()
}

fn description<'py>(py: Python<'py>, row: &NewRow, hash_size: usize) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let info = &row.info;
    dict.set_item("reader", row.reader.name())?;
    dict.set_item("frame", info.frame)?;
    dict.set_item("study_instance_uid", &info.study_instance_uid)?;
    dict.set_item("series_instance_uid", &info.series_instance_uid)?;
    dict.set_item("sop_instance_uid", &info.sop_instance_uid)?;
    dict.set_item("modality", code_string(&info.modality))?;
    dict.set_item("transfer_syntax_uid", uid(&info.transfer_syntax_uid))?;
    dict.set_item("rows", info.rows)?;
    dict.set_item("columns", info.columns)?;
    dict.set_item("pixel_spacing_mm", info.pixel_spacing_mm)?;
    dict.set_item("image_position_patient", info.image_position_patient)?;
    dict.set_item("image_orientation_patient", info.image_orientation_patient)?;
    dict.set_item("acquisition_number", info.acquisition_number)?;
    dict.set_item("instance_number", info.instance_number)?;
    dict.set_item("slice_thickness_mm", info.slice_thickness_mm)?;
    dict.set_item("manufacturer", &info.manufacturer)?;
    dict.set_item("manufacturer_model_name", &info.manufacturer_model_name)?;
    dict.set_item("convolution_kernel", &info.convolution_kernel)?;
    dict.set_item("pixel_padding", info.pixel_padding)?;
    let (status, reason) = match &row.content {
        Ok(_) => ("slice", ""),
        Err(Refusal::Skipped(reason)) => ("skipped", reason.as_str()),
        Err(Refusal::Unsupported(reason) | Refusal::Failed(reason)) => ("failed", reason.as_str()),
    };
    dict.set_item("status", status)?;
    dict.set_item("reason", reason)?;
    if let Ok(content) = &row.content {
        dict.set_item("min_hu", content.min_hu)?;
        dict.set_item("max_hu", content.max_hu)?;
        let bytes: Vec<u8> = content
            .fingerprint
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        let width = ctprune_core::fingerprint::bytes(hash_size);
        dict.set_item("fingerprint", PyBytes::new(py, &bytes[..width]))?;
    }
    Ok(dict)
}

/// A description from Python, as another reader found it.
pub fn slice_info(dict: &Bound<'_, PyDict>) -> PyResult<SliceInfo> {
    let limited = |name: &str, limit: fn(&mut String)| -> PyResult<String> {
        let mut text = dict.as_any().get_item(name)?.extract()?;
        limit(&mut text);
        Ok(text)
    };
    let text = |name| limited(name, limit_text);
    let item = |name: &str| dict.as_any().get_item(name);
    Ok(SliceInfo {
        frame: item("frame")?.extract()?,
        study_instance_uid: limited("study_instance_uid", limit_uid)?,
        series_instance_uid: limited("series_instance_uid", limit_uid)?,
        sop_instance_uid: limited("sop_instance_uid", limit_uid)?,
        modality: text("modality")?,
        transfer_syntax_uid: text("transfer_syntax_uid")?,
        rows: item("rows")?.extract()?,
        columns: item("columns")?.extract()?,
        pixel_spacing_mm: item("pixel_spacing_mm")?.extract()?,
        image_position_patient: item("image_position_patient")?.extract()?,
        image_orientation_patient: item("image_orientation_patient")?.extract()?,
        acquisition_number: item("acquisition_number")?.extract()?,
        instance_number: item("instance_number")?.extract()?,
        slice_thickness_mm: item("slice_thickness_mm")?.extract()?,
        manufacturer: text("manufacturer")?,
        manufacturer_model_name: text("manufacturer_model_name")?,
        convolution_kernel: text("convolution_kernel")?,
        ..SliceInfo::default()
    })
}
