//! Rows to Arrow columns and back, some thousands at a time.

use crate::rows::schema::{COLUMNS, Column, Kind, schema};
use crate::rows::value::Value;
use crate::rows::view::{RowView, StoredRow};
use arrow_array::builder::{
    FixedSizeBinaryBuilder, FixedSizeListBuilder, Float64Builder, PrimitiveBuilder, StringBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray,
};
use std::sync::Arc;

/// The columns of these rows, for fingerprints of so many bytes.
///
/// Texts of all rows together must stay below 2 GiB: a row has at most some 6 KiB besides its path.
pub fn record_batch(rows: &[RowView<'_>], fingerprint_bytes: usize) -> RecordBatch {
    let arrays = COLUMNS
        .iter()
        .map(|column| array(column, rows, fingerprint_bytes));
    RecordBatch::try_new(Arc::new(schema(fingerprint_bytes)), arrays.collect())
        .expect("every column gives one value of its type for each row")
}

fn array(column: &Column, rows: &[RowView<'_>], fingerprint_bytes: usize) -> ArrayRef {
    let values = rows.iter().map(|row| (column.of)(row));
    match column.kind {
        Kind::Text => {
            let mut builder = StringBuilder::with_capacity(rows.len(), 16 * rows.len());
            for value in values {
                match value {
                    Value::Text(text) if column.required || !text.is_empty() => builder.append_value(text),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
        Kind::Int32 => primitive::<Int32Type>(values, |value| value.integer().map(|value| value as i32)),
        Kind::Int64 => primitive::<Int64Type>(values, Value::integer),
        Kind::Float32 => primitive::<Float32Type>(values, |value| value.float().map(|value| value as f32)),
        Kind::Float64 => primitive::<Float64Type>(values, Value::float),
        Kind::Floats(count) => {
            let mut builder = FixedSizeListBuilder::new(Float64Builder::new(), count as i32);
            for value in values {
                let there = if let Value::Floats(floats) = value {
                    builder.values().append_slice(floats);
                    true
                } else {
                    builder.values().append_nulls(count);
                    false
                };
                builder.append(there);
            }
            Arc::new(builder.finish())
        }
        Kind::Fingerprint => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(rows.len(), fingerprint_bytes as i32);
            for value in values {
                match value {
                    Value::Bytes(bytes) => builder
                        .append_value(bytes)
                        .expect("every fingerprint has this length"),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
    }
}

fn primitive<'a, T: ArrowPrimitiveType>(
    values: impl ExactSizeIterator<Item = Value<'a>>,
    native: impl Fn(Value<'a>) -> Option<T::Native>,
) -> ArrayRef {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(values.len());
    values.for_each(|value| builder.append_option(native(value)));
    Arc::new(builder.finish())
}

/// A column of a batch, to be read value by value.
pub enum Cells<'a> {
    /// Of texts.
    Text(&'a StringArray),
    /// Of integers of 32 bits.
    Int32(&'a Int32Array),
    /// Of integers of 64 bits.
    Int64(&'a Int64Array),
    /// Of floats of 32 bits.
    Float32(&'a Float32Array),
    /// Of floats of 64 bits.
    Float64(&'a Float64Array),
    /// Of several floats each.
    Floats(&'a FixedSizeListArray, &'a [f64], usize),
    /// Of fingerprints.
    Fingerprint(&'a FixedSizeBinaryArray),
}

impl<'a> Cells<'a> {
    /// The values of an array; `None` when it is of another kind.
    pub fn new(kind: Kind, array: &'a dyn Array) -> Option<Self> {
        Some(match kind {
            Kind::Text => Cells::Text(array.as_string_opt()?),
            Kind::Int32 => Cells::Int32(array.as_primitive_opt()?),
            Kind::Int64 => Cells::Int64(array.as_primitive_opt()?),
            Kind::Float32 => Cells::Float32(array.as_primitive_opt()?),
            Kind::Float64 => Cells::Float64(array.as_primitive_opt()?),
            Kind::Floats(count) => {
                let list = array.as_fixed_size_list_opt()?;
                let values = list.values().as_primitive_opt::<Float64Type>()?;
                (list.value_length() as usize == count).then_some(())?;
                Cells::Floats(list, values.values(), count)
            }
            Kind::Fingerprint => Cells::Fingerprint(array.as_fixed_size_binary_opt()?),
        })
    }

    /// The value of a row.
    pub fn value(&self, row: usize) -> Value<'a> {
        match self {
            Cells::Text(array) if array.is_valid(row) => Value::Text(array.value(row)),
            Cells::Int32(array) if array.is_valid(row) => Value::Integer(array.value(row).into()),
            Cells::Int64(array) if array.is_valid(row) => Value::Integer(array.value(row)),
            Cells::Float32(array) if array.is_valid(row) => Value::Float(array.value(row).into()),
            Cells::Float64(array) if array.is_valid(row) => Value::Float(array.value(row)),
            Cells::Floats(list, values, count) if list.is_valid(row) => {
                Value::Floats(&values[row * count..(row + 1) * count])
            }
            Cells::Fingerprint(array) if array.is_valid(row) => Value::Bytes(array.value(row)),
            _ => Value::Null,
        }
    }
}

/// Calls `take` with one row of a batch after the other.
pub fn for_each_row<E>(
    batch: &RecordBatch,
    mut take: impl FnMut(StoredRow) -> Result<(), E>,
) -> Result<(), E> {
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter_map(|column| {
            let array = batch.column_by_name(column.name)?;
            Some((column, Cells::new(column.kind, array)?))
        })
        .collect();
    for row in 0..batch.num_rows() {
        let mut stored = StoredRow::default();
        for (column, cells) in &columns {
            (column.restore)(&mut stored, cells.value(row));
        }
        take(stored)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::files::{Files, Stamp};
    use crate::rows::row::{Fingerprinted, NewRow, Reader};
    use crate::rows::table::Table;
    use crate::rows::view::{Selected, Status};
    use ctprune_core::intensity::Shares;
    use ctprune_dicom::code::Code;
    use ctprune_dicom::error::ReadError;
    use ctprune_dicom::slice::{Refusal, SliceInfo};
    use std::convert::Infallible;

    /// Every attribute has a value of its own: one that is swapped or forgotten does not come back.
    fn full_info() -> SliceInfo {
        SliceInfo {
            frame: 3,
            study_instance_uid: "1.2".into(),
            series_instance_uid: "1.3".into(),
            sop_instance_uid: "1.4".into(),
            modality: "CT".into(),
            transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
            rows: 512,
            columns: 256,
            pixel_spacing_mm: Some([0.5, 0.25]),
            image_position_patient: Some([1.0, 2.0, -3.5]),
            image_orientation_patient: Some([1.0, 0.0, 0.0, 0.0, 0.8, 0.6]),
            acquisition_number: Some(-4),
            instance_number: Some(7),
            slice_thickness_mm: Some(1.25),
            manufacturer: "Maker".into(),
            manufacturer_model_name: "Model".into(),
            convolution_kernel: "B30f".into(),
            image_type: "ORIGINAL\\\\PRIMARY\\\\AXIAL".into(),
            frame_of_reference_uid: "1.5".into(),
            bits_stored: Some(12),
            rescale_slope: Some(2.0),
            rescale_intercept: Some(-1024.0),
            lossy_image_compression: "01".into(),
            burned_in_annotation: "NO".into(),
            patient_check: Some(200),
            pixel_padding: None,
        }
    }

    #[test]
    fn rows_come_back_from_columns() {
        let (mut files, mut table) = (Files::default(), Table::new(2));
        let source = files.source("/archive".into());
        let folder = files.folder(source, "a/b");
        let stamp = Stamp {
            size: 1 << 40,
            version: -5,
        };
        let file = files.push(folder, "c.dcm", stamp);
        let fingerprinted = Fingerprinted {
            fingerprint: vec![0x0102_0304_0506_0708, 0x8000_0000_0000_0000],
            min_hu: -1024.5,
            max_hu: 3071.0,
            shares: Shares::stored(std::array::from_fn(|at| at as f64 / 100.0)),
        };
        let contents = [
            (Reader::Dicom, full_info(), Ok(fingerprinted.clone())),
            (
                Reader::None,
                SliceInfo::default(),
                Err(Refusal::Failed(ReadError::Empty)),
            ),
        ];
        for (reader, info, content) in contents {
            let new = NewRow {
                file,
                reader,
                info,
                content,
            };
            table.push(new).unwrap();
        }
        let selected = Selected {
            row: 0,
            volume: 0,
            slice_index: 0,
            position_mm: Some(-3.5),
            exemplar: Some(0),
            similarity: Some(0.0),
        };
        let views = [
            RowView::new(&table, &files, 0, 9, Some(selected)),
            RowView::new(&table, &files, 1, 9, None),
        ];
        let batch = record_batch(&views, 9);
        let mut back = Vec::new();
        for_each_row(&batch, |row| {
            back.push(row);
            Ok::<_, Infallible>(())
        })
        .unwrap();
        let first = StoredRow {
            source: "/archive".into(),
            path: "a/b/c.dcm".into(),
            stamp,
            reader: Reader::Dicom,
            info: full_info(),
            status: Some(Status::Kept),
            code: None,
            reason: String::new(),
            fingerprinted,
            volume: Some(0),
            exemplar: Some(0),
            similarity: 0.0,
        };
        assert_eq!(format!("{:?}", back[0]), format!("{first:?}"));
        assert_eq!(
            (back[1].status, back[1].code, back[1].reason.as_str()),
            (Some(Status::Failed), Some(Code::Empty), "the file is empty")
        );
        assert_eq!(back[1].info, SliceInfo::default());
        assert_eq!(batch["exemplar"].null_count(), 1);
    }
}
