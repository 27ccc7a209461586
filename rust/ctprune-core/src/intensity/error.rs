//! Why a slice cannot be converted.

use std::fmt;

/// Why a slice cannot be converted to gray.
#[derive(Clone, Debug, PartialEq)]
pub enum GrayError {
    /// The pixels are not as many as rows and columns say, or none.
    PixelCount {
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        columns: usize,
        /// Number of pixels there are.
        found: usize,
    },
    /// 8-bit gray was announced, another type was found.
    NotEightBit,
    /// The rescale slope is zero, or the slope or the intercept is not finite.
    Rescale {
        /// RescaleSlope.
        slope: f64,
        /// RescaleIntercept.
        intercept: f64,
    },
    /// All pixels are NaN or infinite.
    NoFinitePixel,
}

impl fmt::Display for GrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PixelCount { rows, columns, found } => {
                write!(
                    f,
                    "expected {rows} × {columns} pixels, at least one, found {found}"
                )
            }
            Self::NotEightBit => f.write_str("expected unsigned 8-bit pixels for a gray picture"),
            Self::Rescale { slope, intercept } => {
                write!(
                    f,
                    "rescale slope {slope} and intercept {intercept} must be finite, the slope not zero"
                )
            }
            Self::NoFinitePixel => f.write_str("no pixel is a finite number"),
        }
    }
}

impl std::error::Error for GrayError {}
