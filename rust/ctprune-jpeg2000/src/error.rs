//! Why a codestream gives no samples.

use std::fmt;

/// Why a codestream gives no samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The stream ends before its last packet.
    Truncated,
    /// A value that the standard forbids, and where.
    Malformed(&'static str),
    /// Valid, but not decoded here.
    Unsupported(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Truncated => f.write_str("the codestream ends too early"),
            Error::Malformed(what) => write!(f, "the codestream is malformed: {what}"),
            Error::Unsupported(what) => write!(f, "the codestream has {what}, which is not decoded"),
        }
    }
}

impl std::error::Error for Error {}
