//! Tables other than manifests: results that ctprune keeps as Parquet, and tables that users hand over.

use crate::rows::error::ManifestError;
use crate::rows::parquet_writer::ParquetWriter;
use crate::rows::schema::{Kind, METADATA_KEY};
use crate::rows::seal::{self, Seal};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, Float64Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// A table in memory.
pub struct PlainTable {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// What stands under ctprune's key in the file's metadata.
    pub about: Option<String>,
}

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The system said no.
    #[error("{0}")]
    Io(std::io::Error),
    /// It is no Parquet file, or a damaged one.
    #[error("{0}")]
    Parquet(String),
    /// Its columns are compressed in a way that is not read.
    #[error("compressed with {0}, which ctprune does not read: write it again with Snappy or gzip")]
    Compression(&'static str),
    /// The checksum that ctprune wrote into it does not match.
    #[error("damaged or edited: its checksum does not match")]
    Damaged,
    /// A column holds what is no text, number or truth value.
    #[error("column {name}: expected texts or numbers, found {found}")]
    Column {
        /// Its name.
        name: String,
        /// Its type.
        found: String,
    },
}

/// Write a table; `about` goes into the file's metadata.
pub fn write(
    file: &Path,
    schema: &Schema,
    batches: &[RecordBatch],
    about: Option<&str>,
) -> Result<(), ManifestError> {
    let mut writer = ParquetWriter::create(file, schema, about)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()
}

/// Read a table, or those of its columns that `names` has. Truth values come as the texts `True` and `False`.
pub fn read(file: &Path, names: Option<&[String]>) -> Result<PlainTable, TableError> {
    let opened = File::open(file).map_err(TableError::Io)?;
    if seal::check(&opened).map_err(TableError::Io)? == Seal::Broken {
        return Err(TableError::Damaged);
    }
    // The reader of Parquet may have met what nobody thought of.
    match catch_unwind(AssertUnwindSafe(|| read_sound(opened, names))) {
        Ok(table) => table,
        Err(_) => Err(TableError::Parquet("its structure is inconsistent".into())),
    }
}

fn read_sound(opened: File, names: Option<&[String]>) -> Result<PlainTable, TableError> {
    let not_parquet =
        |error: &dyn ToString| TableError::Parquet(error.to_string().lines().next().unwrap_or("").into());
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(opened, ArrowReaderOptions::new())
        .map_err(|error| not_parquet(&error))?;
    let groups = builder.metadata().row_groups().iter();
    let mut chunks = groups.flat_map(|group| group.columns());
    if let Some(name) = chunks.find_map(|chunk| unread(chunk.compression())) {
        return Err(TableError::Compression(name));
    }
    let entries = builder.metadata().file_metadata().key_value_metadata();
    let about = entries.and_then(|entries| {
        entries
            .iter()
            .find(|entry| entry.key == METADATA_KEY)?
            .value
            .clone()
    });
    let wanted = |name: &str| names.is_none_or(|names| names.iter().any(|wanted| wanted == name));
    let fields = builder.schema().fields().iter().enumerate();
    let indices: Vec<usize> = fields
        .filter(|(_, field)| wanted(field.name()))
        .map(|(index, _)| index)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), indices);
    let reader = builder
        .with_projection(mask)
        .build()
        .map_err(|error| not_parquet(&error))?;
    let fields = arrow_array::RecordBatchReader::schema(&reader);
    let fields = fields.fields().iter().map(|field| {
        let kind = plain_type(field.data_type()).ok_or_else(|| TableError::Column {
            name: field.name().clone(),
            found: field.data_type().to_string(),
        })?;
        Ok(Field::new(field.name(), kind, true))
    });
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Result<Vec<_>, TableError>>()?));
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| not_parquet(&error))?;
        let columns = batch.columns().iter().map(plain).collect();
        batches.push(RecordBatch::try_new(schema.clone(), columns).map_err(|error| not_parquet(&error))?);
    }
    Ok(PlainTable {
        schema,
        batches,
        about,
    })
}

/// The name of a compression that is not read: its decoder would be C, or is used too rarely.
fn unread(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::ZSTD(_) => Some("Zstandard"),
        Compression::BROTLI(_) => Some("Brotli"),
        Compression::LZO => Some("LZO"),
        _ => None,
    }
}

/// The type that a column of this one is read as.
fn plain_type(found: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match found {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => T::Int64,
        T::Float32 | T::Float64 => T::Float64,
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Boolean | T::Null => T::Utf8,
        T::Dictionary(_, value) if plain_type(value)? == T::Utf8 => T::Utf8,
        T::FixedSizeList(value, _) if value.data_type() == &T::Float64 => found.clone(),
        _ => return None,
    })
}

/// A column of a type that [`plain_type`] knows.
fn plain(column: &ArrayRef) -> ArrayRef {
    use DataType as T;
    match column.data_type() {
        T::Int8 => integers::<Int8Type>(column),
        T::Int16 => integers::<Int16Type>(column),
        T::Int32 => integers::<Int32Type>(column),
        T::Int64 => integers::<Int64Type>(column),
        T::UInt8 => integers::<UInt8Type>(column),
        T::UInt16 => integers::<UInt16Type>(column),
        T::UInt32 => integers::<UInt32Type>(column),
        T::Float32 => Arc::new(Float64Array::from_iter(
            column
                .as_primitive::<Float32Type>()
                .iter()
                .map(|value| value.map(f64::from)),
        )),
        T::Float64 | T::Utf8 | T::FixedSizeList(..) => column.clone(),
        T::LargeUtf8 => texts(column.as_string::<i64>().iter()),
        T::Utf8View => texts(column.as_string_view().iter()),
        T::Boolean => {
            let text = |value| if value { "True" } else { "False" };
            texts(column.as_boolean().iter().map(|value| value.map(text)))
        }
        T::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let keys = dictionary.normalized_keys();
            let values = plain(dictionary.values());
            let values = values.as_string::<i32>();
            let value = |(row, key): (usize, usize)| {
                (dictionary.keys().is_valid(row) && values.is_valid(key)).then(|| values.value(key))
            };
            texts(keys.into_iter().enumerate().map(value))
        }
        _ => texts(std::iter::repeat_n(None, column.len())),
    }
}

fn integers<T: ArrowPrimitiveType>(column: &ArrayRef) -> ArrayRef
where
    i64: From<T::Native>,
{
    let values = column.as_primitive::<T>().iter();
    Arc::new(Int64Array::from_iter(values.map(|value| value.map(i64::from))))
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

/// A column of numbers or texts, to make a table of.
pub enum NewColumn {
    /// Of texts.
    Texts(Vec<Option<String>>),
    /// Of integers.
    Integers(Vec<i64>),
    /// Of floats; NaN stays NaN.
    Floats(Vec<f64>),
    /// Of several floats each.
    Vectors(Vec<f64>, usize),
}

impl NewColumn {
    /// Its field and its values.
    pub fn build(self, name: &str) -> (Field, ArrayRef) {
        let (kind, array): (Kind, ArrayRef) = match self {
            NewColumn::Texts(texts) => {
                let mut builder = StringBuilder::new();
                texts
                    .iter()
                    .for_each(|text| builder.append_option(text.as_deref()));
                (Kind::Text, Arc::new(builder.finish()))
            }
            NewColumn::Integers(integers) => (Kind::Int64, Arc::new(Int64Array::from(integers))),
            NewColumn::Floats(floats) => (Kind::Float64, Arc::new(Float64Array::from(floats))),
            NewColumn::Vectors(floats, width) => {
                let value = Arc::new(Field::new_list_field(DataType::Float64, true));
                let values = Arc::new(arrow_array::PrimitiveArray::<Float64Type>::from(floats));
                let list = arrow_array::FixedSizeListArray::new(value, width as i32, values, None);
                (Kind::Floats(width), Arc::new(list))
            }
        };
        (Field::new(name, kind.data_type(0), true), array)
    }
}
