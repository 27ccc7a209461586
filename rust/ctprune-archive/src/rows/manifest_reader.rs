//! Reads a manifest's file, batch by batch; what no run of ctprune wrote is refused with one sentence.

use crate::rows::error::ManifestError;
use crate::rows::schema::{COLUMNS, MANIFEST_VERSION, METADATA_KEY, schema};
use crate::rows::seal::{self, Seal};
use crate::rows::validate::Validator;
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{Schema, SchemaRef};
use ctprune_core::fingerprint;
use ctprune_dicom::error::without_number;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use serde_json::Value;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A manifest's file, opened and found to be one of this version, as it was written.
pub struct ManifestReader {
    file: PathBuf,
    opened: File,
    metadata: ArrowReaderMetadata,
    about: String,
}

impl ManifestReader {
    /// Open a file and compare its checksum, version and columns.
    pub fn open(file: &Path) -> Result<Self, ManifestError> {
        let unreadable = |error: io::Error| ManifestError::Unreadable {
            file: file.to_path_buf(),
            found: without_number(&error.to_string()),
        };
        let opened = File::open(file).map_err(unreadable)?;
        let seal = seal::check(&opened).map_err(unreadable)?;
        let damaged = || ManifestError::Damaged {
            file: file.to_path_buf(),
        };
        if seal == Seal::Broken {
            return Err(damaged());
        }
        let load = || ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new());
        let metadata = contained(load).map_err(|found| ManifestError::not_parquet(file, found))?;
        let foreign = || ManifestError::Foreign {
            file: file.to_path_buf(),
        };
        let about = about(&metadata).ok_or_else(foreign)?;
        let parsed: Value = serde_json::from_str(&about).map_err(|_| foreign())?;
        let version = parsed.get("manifest_version").ok_or_else(foreign)?;
        if version.as_u64() != Some(MANIFEST_VERSION) {
            return Err(ManifestError::Version {
                file: file.to_path_buf(),
                expected: MANIFEST_VERSION,
                found: version.to_string(),
            });
        }
        if seal == Seal::Missing {
            return Err(damaged());
        }
        let hash_size = parsed["config"]["hash_size"]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok());
        let hash_size = hash_size.filter(|n| (1..=64).contains(n)).ok_or_else(foreign)?;
        let expected = schema(fingerprint::bytes(hash_size));
        if let Some(found) = difference(&expected, metadata.schema()) {
            return Err(ManifestError::Columns {
                file: file.to_path_buf(),
                version: MANIFEST_VERSION,
                found,
            });
        }
        Ok(Self {
            file: file.to_path_buf(),
            opened,
            metadata,
            about,
        })
    }

    /// Version and configuration, as JSON.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.metadata
            .metadata()
            .file_metadata()
            .num_rows()
            .try_into()
            .unwrap_or(0)
    }

    /// All rows, at most `size` at a time; of the columns those that `names` has.
    pub fn batches(&self, names: Option<&[String]>, size: usize) -> Result<Batches, ManifestError> {
        let not_parquet = |found: String| ManifestError::not_parquet(&self.file, found);
        let wanted = |name: &str| names.is_none_or(|names| names.iter().any(|wanted| wanted == name));
        let indices = COLUMNS
            .iter()
            .enumerate()
            .filter(|(_, column)| wanted(column.name));
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), indices.map(|(index, _)| index));
        let opened = self
            .opened
            .try_clone()
            .map_err(|error| not_parquet(error.to_string()))?;
        let build = || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(opened, self.metadata.clone())
                .with_projection(mask)
                .with_batch_size(size)
                .build()
        };
        let rows = contained(build).map_err(not_parquet)?;
        Ok(Batches {
            // What the file says of itself belongs to the file, not to its rows.
            schema: Arc::new(Schema::new(rows.schema().fields().clone())),
            rows,
            validator: Validator::new(&self.file, self.rows()),
            file: self.file.clone(),
        })
    }
}

/// Batches of a manifest's rows, each checked before it is given.
pub struct Batches {
    file: PathBuf,
    rows: ParquetRecordBatchReader,
    schema: SchemaRef,
    validator: Validator,
}

impl Batches {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match contained(|| self.rows.next().transpose()) {
            Ok(batch) => batch?,
            Err(found) => return Some(Err(ManifestError::not_parquet(&self.file, found))),
        };
        let batch = RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec());
        let checked = batch
            .map_err(|error| ManifestError::not_parquet(&self.file, error))
            .and_then(|batch| self.validator.check(&batch).map(|()| batch));
        Some(checked)
    }
}

/// What stands under ctprune's key in the metadata of a Parquet file; `None` when it is no such file.
pub fn metadata_of(file: &Path) -> Option<String> {
    let opened = File::open(file).ok()?;
    let load = || ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new());
    about(&contained(load).ok()?)
}

/// The sentence of an error, or of a panic: the reader of Parquet may have met what nobody thought of.
fn contained<T, E: ToString>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its structure is inconsistent".into()),
    }
}

fn about(metadata: &ArrowReaderMetadata) -> Option<String> {
    let entries = metadata.metadata().file_metadata().key_value_metadata()?;
    entries
        .iter()
        .find(|entry| entry.key == METADATA_KEY)?
        .value
        .clone()
}

/// What is wrong with columns.
fn difference(expected: &Schema, found: &Schema) -> Option<String> {
    let missing = expected
        .fields()
        .iter()
        .find_map(|field| match found.field_with_name(field.name()) {
            Err(_) => Some(format!("{} is missing", field.name())),
            Ok(other)
                if other.data_type() != field.data_type() || other.is_nullable() != field.is_nullable() =>
            {
                Some(format!("{} is of another type", field.name()))
            }
            Ok(_) => None,
        });
    missing.or_else(|| {
        let same = expected.fields().len() == found.fields().len()
            && expected
                .fields()
                .iter()
                .zip(found.fields())
                .all(|(a, b)| a.name() == b.name());
        (!same).then(|| "their names or their order differ".into())
    })
}
