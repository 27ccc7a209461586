//! Why a codestream gives no samples.

use std::fmt;

/// Why a codestream gives no samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The stream ends before its last packet.
    Truncated,
    /// The image has other `(rows, columns)` than the caller's.
    Size {
        /// The caller's.
        expected: (usize, usize),
        /// The stream's.
        found: (usize, usize),
    },
    /// The caller's target has another length than the samples need.
    TargetBytes {
        /// What the samples need.
        expected: usize,
        /// What the target has.
        found: usize,
    },
    /// A value that the standard forbids.
    Malformed(&'static str),
    /// Valid, but not decoded here.
    Unsupported(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Truncated => f.write_str("the codestream is truncated"),
            Error::Size { expected, found } => write!(
                f,
                "the size of the codestream: expected {} × {}, found {} × {}",
                expected.0, expected.1, found.0, found.1
            ),
            Error::TargetBytes { expected, found } => {
                write!(
                    f,
                    "the target of the samples: expected {expected} bytes, found {found}"
                )
            }
            Error::Malformed(what) => write!(f, "the codestream is malformed: {what}"),
            Error::Unsupported(what) => write!(f, "a codestream with {what}, which is not decoded"),
        }
    }
}

impl std::error::Error for Error {}
