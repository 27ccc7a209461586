//! Why a slice cannot be compared by its pixels.

use std::fmt;

/// Why a slice cannot be compared by its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PictureError {
    /// There is no pixel.
    Empty,
    /// It is smaller than the window of SSIM.
    SmallerThanWindow {
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        columns: usize,
        /// Rows and columns of the window.
        side: usize,
    },
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the slice has no pixel"),
            Self::SmallerThanWindow { rows, columns, side } => write!(
                f,
                "the slice, {rows} × {columns} pixels, is smaller than the window of SSIM, {side} × {side}"
            ),
        }
    }
}

impl std::error::Error for PictureError {}
