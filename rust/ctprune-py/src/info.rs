//! Descriptions of slices, to and from Python: the manifest's columns that a file's own content gives.

use crate::fetch::fetching;
use crate::rows::to_python;
use crate::settings::{settings, value_error};
use ctprune_archive::discover::files::{Files, Stamp};
use ctprune_archive::discover::location::Location;
use ctprune_archive::error::ArchiveError;
use ctprune_archive::fingerprint_file::{FileRows, refusal, rows_of_file};
use ctprune_archive::rows::row::{NewRow, Reader};
use ctprune_archive::rows::schema::{COLUMNS, Kind, Origin};
use ctprune_archive::rows::table::Table;
use ctprune_archive::rows::value::Value;
use ctprune_archive::rows::view::{RowView, Status, StoredRow};
use ctprune_containers::open::Container;
use ctprune_core::fingerprint as fingerprints;
use ctprune_core::watch::Watch;
use ctprune_dicom::code::Code;
use ctprune_dicom::read;
use ctprune_dicom::slice::{ReadOptions, Refusal, SliceInfo};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

/// Whether the first bytes of a file are enough to refuse it, and to say all that its row says.
#[pyfunction]
pub fn header_decides(py: Python<'_>, head: &[u8], modality: &str) -> bool {
    let options = ReadOptions {
        modality: modality.to_owned(),
        ..ReadOptions::default()
    };
    py.detach(|| read::header_decides(head, &options))
}

/// What ctprune sees in one file: a dict for each slice or refusal.
#[pyfunction]
#[pyo3(signature = (path, fingerprint, hash_size, intensity, modality, max_slice_mb, fetch=None))]
#[allow(clippy::too_many_arguments, reason = "called from one place")]
pub fn describe<'py>(
    py: Python<'py>,
    path: PathBuf,
    fingerprint: &str,
    hash_size: usize,
    intensity: &str,
    modality: &str,
    max_slice_mb: u64,
    fetch: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let settings = settings(fingerprint, hash_size, intensity, modality, max_slice_mb)?;
    let mut files = Files::default();
    let folder = files.source(PathBuf::new());
    let folder = files.folder(folder, "");
    let file = files.push(folder, "", Stamp::default());
    let rows = fetching(fetch, &Watch::default(), |fetch| {
        Ok(py.detach(
            || match rows_of_file(&Location::parse(path), file, &settings, fetch) {
                FileRows::Rows(rows) => rows,
                FileRows::Container(container) => vec![refusal(file, Reader::None, in_words(&container))],
            },
        ))
    })?;
    let paddings: Vec<_> = rows.iter().map(|row| row.info.pixel_padding).collect();
    let table = table_of(rows, fingerprints::words(hash_size)).map_err(value_error)?;
    let mut descriptions = Vec::new();
    for (number, padding) in (0..).zip(paddings) {
        let view = RowView::new(&table, &files, number, fingerprints::bytes(hash_size), None);
        let dict = description(py, &view)?;
        dict.set_item("pixel_padding", padding)?;
        descriptions.push(dict);
    }
    Ok(descriptions)
}

/// A container as the one row of a file that is no slice.
fn in_words(container: &Container) -> Refusal {
    let kind = container.kind().name();
    let reason = match container.index() {
        Some(index) => format!(
            "a {kind} of {} files: add '!/' and the path of one in it",
            index.members().len()
        ),
        None => format!("a {kind}: add '!/' and the path of a file in it"),
    };
    Refusal::skipped(Code::Archive, reason)
}

fn table_of(rows: Vec<NewRow>, words: usize) -> Result<Table, ArchiveError> {
    let mut table = Table::new(words);
    rows.into_iter().try_for_each(|row| table.push(row))?;
    Ok(table)
}

fn description<'py>(py: Python<'py>, view: &RowView<'_>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let status = view.status();
    for column in &COLUMNS {
        let shown = match column.origin {
            Origin::Header => true,
            Origin::Pixels => status.is_slice(),
            Origin::File | Origin::Run => false,
        };
        if shown {
            dict.set_item(column.name, to_python(py, (column.of)(view))?)?;
        }
    }
    let name = if status == Status::Read {
        "slice"
    } else {
        status.name()
    };
    dict.set_item("status", name)?;
    dict.set_item("code", view.reason.map(|reason| reason.code.name()))?;
    dict.set_item("reason", view.reason.map_or("", |reason| &reason.text))?;
    Ok(dict)
}

/// A description from Python, as another reader found it.
pub fn slice_info(dict: &Bound<'_, PyDict>) -> PyResult<SliceInfo> {
    let mut row = StoredRow::default();
    for column in COLUMNS.iter().filter(|column| column.origin == Origin::Header) {
        let Some(value) = dict.get_item(column.name)?.filter(|value| !value.is_none()) else {
            continue;
        };
        match column.kind {
            Kind::Text => (column.restore)(&mut row, Value::Text(&value.extract::<String>()?)),
            Kind::Int32 | Kind::Int64 => (column.restore)(&mut row, Value::Integer(value.extract()?)),
            Kind::Float32 | Kind::Float64 => (column.restore)(&mut row, Value::Float(value.extract()?)),
            Kind::Floats(_) => (column.restore)(&mut row, Value::Floats(&value.extract::<Vec<f64>>()?)),
            Kind::Fingerprint => {}
        }
    }
    Ok(row.info)
}
