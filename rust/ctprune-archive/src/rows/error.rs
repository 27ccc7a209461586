//! What can be wrong with a manifest's file.

use ctprune_dicom::error::without_number;
use std::error::Error;
use std::path::{Path, PathBuf};

/// Why a manifest cannot be read or written. Each is one sentence with the file, what was expected, what was found.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {found}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        found: String,
    },
    /// The file is not a Parquet file, or a damaged one.
    #[error(
        "{}: expected a Parquet manifest: {found}: delete it and run 'ctprune reduce' again",
        file.display()
    )]
    NotParquet {
        /// The file.
        file: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// A Parquet file without a manifest's metadata.
    #[error("{}: a Parquet file, but not a manifest of ctprune", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// Of another version.
    #[error(
        "{}: manifest version {found}, but ctprune {} reads version {expected}: run 'ctprune reduce' again or use the \
         ctprune that wrote it",
        file.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The file.
        file: PathBuf,
        /// The version that can be read.
        expected: u64,
        /// The file's version.
        found: String,
    },
    /// The checksum does not match.
    #[error(
        "{}: damaged or edited (its checksum does not match): delete it and run 'ctprune reduce' again",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
    },
    /// The columns are others than the version has.
    #[error("{}: the columns are not those of manifest version {version}: {found}", file.display())]
    Columns {
        /// The file.
        file: PathBuf,
        /// The manifest's version.
        version: u64,
        /// The first difference.
        found: String,
    },
    /// A value that no manifest has.
    #[error("{}: row {row}: {column}: expected {expected}, found {found}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The column.
        column: &'static str,
        /// What a manifest has there.
        expected: &'static str,
        /// What the file has.
        found: String,
    },
    /// The file could not be written.
    #[error("{}: cannot be written: {found}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        found: String,
    },
}

impl ManifestError {
    /// [`ManifestError::NotParquet`] for whatever was found.
    pub fn not_parquet(file: &Path, found: impl ToString) -> Self {
        Self::NotParquet {
            file: file.to_path_buf(),
            found: first_line(&found.to_string()),
        }
    }

    /// [`ManifestError::Unwritable`] for what lies at the bottom of an error.
    pub fn unwritable(file: &Path, error: &(dyn Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Unwritable {
            file: file.to_path_buf(),
            found: without_number(&first_line(&cause.to_string())),
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
