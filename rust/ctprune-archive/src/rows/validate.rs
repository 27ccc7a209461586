//! What every manifest fulfills, so that nothing that reads one need look again.

use crate::rows::batch::Cells;
use crate::rows::error::ManifestError;
use crate::rows::row::Reader;
use crate::rows::schema::column;
use crate::rows::value::Value;
use crate::rows::view::Status;
use arrow_array::RecordBatch;
use ctprune_dicom::code::Code;
use std::path::{Path, PathBuf};

/// Checks one batch of a file after the other, as far as it has the columns.
pub struct Validator {
    file: PathBuf,
    rows: usize,
    checked: usize,
    slices_ended: bool,
    volume: i64,
}

/// One value that is wrong: its column, what was expected, what was found.
type Wrong = (&'static str, &'static str, String);

impl Validator {
    /// For a file with so many rows.
    pub fn new(file: &Path, rows: usize) -> Self {
        Self {
            file: file.to_path_buf(),
            rows,
            checked: 0,
            slices_ended: false,
            volume: -1,
        }
    }

    /// Check the next rows.
    pub fn check(&mut self, batch: &RecordBatch) -> Result<(), ManifestError> {
        let [status, volume, index, exemplar, frame, reader, size, code] = [
            "status",
            "volume",
            "slice_index",
            "exemplar",
            "frame",
            "reader",
            "file_size",
            "code",
        ]
        .map(|name| cells(batch, name));
        for row in 0..batch.num_rows() {
            let checks = self
                .check_selection(
                    value(&status, row),
                    value(&volume, row),
                    value(&index, row),
                    value(&exemplar, row),
                )
                .and_then(|()| check_file(value(&frame, row), value(&reader, row), value(&size, row)))
                .and_then(|()| check_code(value(&status, row), value(&code, row)));
            checks.map_err(|(column, expected, found)| ManifestError::Value {
                file: self.file.clone(),
                row: self.checked,
                column,
                expected,
                found,
            })?;
            self.checked += 1;
        }
        Ok(())
    }

    fn check_selection(
        &mut self,
        status: Option<Value<'_>>,
        volume: Option<Value<'_>>,
        index: Option<Value<'_>>,
        exemplar: Option<Value<'_>>,
    ) -> Result<(), Wrong> {
        if let Some(exemplar) = exemplar.and_then(Value::integer)
            && !(0..self.rows as i64).contains(&exemplar)
        {
            return Err(("exemplar", "the number of a row", exemplar.to_string()));
        }
        if let Some(index) = index.and_then(Value::integer)
            && index < 0
        {
            return Err(("slice_index", "0 or more", index.to_string()));
        }
        let Some(name) = status.map(Value::text) else {
            return Ok(());
        };
        let Some(status) = Status::from_name(&name) else {
            return Err((
                "status",
                "kept, dropped, skipped, failed or read",
                format!("{name:?}"),
            ));
        };
        let selected = matches!(status, Status::Kept | Status::Dropped);
        if selected && self.slices_ended {
            return Err(("status", "no slice after a refused file", name));
        }
        self.slices_ended |= !selected;
        if status == Status::Kept
            && let Some(exemplar) = exemplar
            && exemplar != Value::Integer(self.checked as i64)
        {
            return Err(("exemplar", "a kept slice's own row", format!("{exemplar:?}")));
        }
        match volume.map(Value::integer) {
            None => Ok(()),
            Some(None) if !selected => Ok(()),
            Some(Some(volume))
                if selected && volume >= 0 && (self.volume..=self.volume + 1).contains(&volume) =>
            {
                self.volume = volume;
                Ok(())
            }
            Some(found) => {
                let found = found.map_or("none".into(), |volume| volume.to_string());
                Err(("volume", "ascending numbers from 0, for slices only", found))
            }
        }
    }
}

fn cells<'a>(batch: &'a RecordBatch, name: &str) -> Option<Cells<'a>> {
    Cells::new(column(name)?.kind, batch.column_by_name(name)?)
}

fn value<'a>(cells: &Option<Cells<'a>>, row: usize) -> Option<Value<'a>> {
    cells.as_ref().map(|cells| cells.value(row))
}

/// A slice has no code, and every other row one that is known.
fn check_code(status: Option<Value<'_>>, code: Option<Value<'_>>) -> Result<(), Wrong> {
    let (Some(status), Some(code)) = (status.map(Value::text), code) else {
        return Ok(());
    };
    let wrong = |expected| Err(("code", expected, format!("{:?}", code.text())));
    match (status.as_str(), code) {
        ("skipped" | "failed", Value::Text(name)) => match Code::from_name(name) {
            Some(code) if code.is_failure() == (status == "failed") => Ok(()),
            _ => wrong("a code of the row's status"),
        },
        ("skipped" | "failed", _) => wrong("a code of the row's status"),
        (_, Value::Null) => Ok(()),
        _ => wrong("no code for a slice"),
    }
}

fn check_file(
    frame: Option<Value<'_>>,
    reader: Option<Value<'_>>,
    size: Option<Value<'_>>,
) -> Result<(), Wrong> {
    for (name, value) in [("frame", frame), ("file_size", size)] {
        if let Some(number) = value.and_then(Value::integer)
            && number < 0
        {
            return Err((name, "0 or more", number.to_string()));
        }
    }
    match reader {
        Some(Value::Text(name)) if Reader::from_name(name).is_none() => {
            Err(("reader", "dicom, pydicom, nifti or image", format!("{name:?}")))
        }
        _ => Ok(()),
    }
}
