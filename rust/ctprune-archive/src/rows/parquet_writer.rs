//! Writes a sealed Parquet file, batch by batch.

use crate::rows::error::ManifestError;
use crate::rows::schema::METADATA_KEY;
use crate::rows::seal::SealingWriter;
use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows that are compressed together: what is in memory while a file is written.
pub const ROWS_PER_GROUP: usize = 1 << 16;

/// A table while it is written. Its rows go out in groups, so that memory does not grow with their number.
pub struct ParquetWriter {
    file: PathBuf,
    rows: ArrowWriter<SealingWriter>,
}

impl ParquetWriter {
    /// Begin a file. `about` is what stands under ctprune's key in its metadata.
    pub fn create(file: &Path, schema: &Schema, about: Option<&str>) -> Result<Self, ManifestError> {
        let sink = File::create(file).map_err(|error| ManifestError::unwritable(file, &error))?;
        // Some readers look for it with the file, others with Arrow's schema.
        let entries = about.map(|about| (METADATA_KEY.to_owned(), about.to_owned()));
        let schema = schema.clone().with_metadata(HashMap::from_iter(entries.clone()));
        let about = entries.map(|(key, about)| vec![KeyValue::new(key, about)]);
        let properties = WriterProperties::builder()
            // All Rust, unlike Zstandard, whose crate compiles C.
            .set_compression(Compression::LZ4_RAW)
            .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(format!("ctprune {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(about)
            .build();
        let rows = ArrowWriter::try_new(SealingWriter::new(sink), Arc::new(schema), Some(properties));
        Ok(Self {
            rows: rows.map_err(|error| ManifestError::unwritable(file, &error))?,
            file: file.to_path_buf(),
        })
    }

    /// Add these rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ManifestError> {
        self.rows
            .write(batch)
            .map_err(|error| ManifestError::unwritable(&self.file, &error))
    }

    /// Write what is left, the seal and the footer.
    pub fn finish(mut self) -> Result<(), ManifestError> {
        let file = &self.file;
        self.rows
            .flush()
            .map_err(|error| ManifestError::unwritable(file, &error))?;
        self.rows.inner_mut().begin_tail();
        let sink = self
            .rows
            .into_inner()
            .map_err(|error| ManifestError::unwritable(file, &error))?;
        sink.seal()
            .map_err(|error| ManifestError::unwritable(file, &error))
    }
}
