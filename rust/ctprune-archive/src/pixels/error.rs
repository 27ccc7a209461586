//! Why a chosen slice was not dealt with.

use ctprune_core::intensity::GrayError;
use ctprune_dicom::slice::Refusal;
use std::fmt;
use std::path::PathBuf;

/// Why a chosen slice was not dealt with.
#[derive(Clone, Debug, PartialEq)]
pub enum PixelError {
    /// The file no longer holds the slice.
    Gone,
    /// The file cannot be read, or is not one that was asked for.
    Refused(Refusal),
    /// The pixels cannot be converted to gray or to Hounsfield units.
    Gray(GrayError),
    /// The slice has another number of pixels than before.
    PixelCount {
        /// Number of pixels expected.
        expected: usize,
        /// Number of pixels found.
        found: usize,
    },
    /// Hounsfield units were asked for; the slice is an 8-bit picture.
    NoHounsfieldUnits,
    /// The caller asked to stop before the file was read.
    Stopped,
    /// The result cannot be written.
    Output {
        /// The file to write.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl fmt::Display for PixelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the file no longer holds this slice"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Gray(error) => error.fmt(f),
            Self::PixelCount { expected, found } => {
                write!(
                    f,
                    "expected {expected} pixels, found {found}: the file has changed"
                )
            }
            Self::NoHounsfieldUnits => {
                f.write_str("an 8-bit picture has no Hounsfield units: expected png_depth 8, found 16")
            }
            Self::Stopped => f.write_str("stopped"),
            Self::Output { path, reason } => write!(f, "{}: cannot be written: {reason}", path.display()),
        }
    }
}

impl std::error::Error for PixelError {}

impl From<GrayError> for PixelError {
    fn from(error: GrayError) -> Self {
        Self::Gray(error)
    }
}
