//! Why a selection was not made.

use crate::option::OptionError;
use std::fmt;

/// Why a selection was not made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SelectError {
    /// An option that cannot be used.
    Option(OptionError),
    /// Volumes that do not follow each other, or do not cover all slices.
    Volumes {
        /// Number of slices that they must cover.
        slices: usize,
        /// The offsets that were given.
        found: Vec<usize>,
    },
    /// As many fingerprints as slices were expected.
    Fingerprints {
        /// Number of slices.
        expected: usize,
        /// Number of fingerprints.
        found: usize,
    },
    /// As many positions as slices were expected.
    Positions {
        /// Number of slices.
        expected: usize,
        /// Number of positions.
        found: usize,
    },
    /// More slices than a selection can number.
    TooManySlices {
        /// Number of slices.
        found: usize,
    },
    /// The caller asked to stop.
    Stopped,
}

impl From<OptionError> for SelectError {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}

/// Offsets beyond these are not printed.
const PRINTED: usize = 8;

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(error) => error.fmt(f),
            Self::Volumes { slices, found } => {
                let more = if found.len() > PRINTED { ", …" } else { "" };
                let printed: Vec<String> = found.iter().take(PRINTED).map(usize::to_string).collect();
                write!(
                    f,
                    "expected offsets of volumes that ascend from 0 to the number of slices, {slices}, found [{}{more}]",
                    printed.join(", ")
                )
            }
            Self::Fingerprints { expected, found } => {
                write!(f, "expected fingerprints of {expected} slices, found {found}")
            }
            Self::Positions { expected, found } => {
                write!(f, "expected positions of {expected} slices, found {found}")
            }
            Self::TooManySlices { found } => {
                write!(
                    f,
                    "expected at most {} slices in one selection, found {found}",
                    u32::MAX
                )
            }
            Self::Stopped => f.write_str("the selection was stopped before its end"),
        }
    }
}

impl std::error::Error for SelectError {}
