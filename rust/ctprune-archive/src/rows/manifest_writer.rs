//! Writes a manifest's file, batch by batch.

use crate::rows::error::ManifestError;
use crate::rows::parquet_writer::ParquetWriter;
use crate::rows::schema::schema;
use arrow_array::RecordBatch;
use std::path::Path;

pub use crate::rows::parquet_writer::ROWS_PER_GROUP;

/// A manifest while it is written.
pub struct ManifestWriter(ParquetWriter);

impl ManifestWriter {
    /// Begin a file. `about` is its version and configuration as JSON.
    pub fn create(file: &Path, fingerprint_bytes: usize, about: &str) -> Result<Self, ManifestError> {
        ParquetWriter::create(file, &schema(fingerprint_bytes), Some(about)).map(Self)
    }

    /// Add these rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ManifestError> {
        self.0.write(batch)
    }

    /// Write what is left, the seal and the footer.
    pub fn finish(self) -> Result<(), ManifestError> {
        self.0.finish()
    }
}
