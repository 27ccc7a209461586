//! What can be wrong with a selection's input.

use std::fmt;

/// Why fingerprints could not be compared or selected from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SelectError {
    /// The data are not whole fingerprints of a length that is supported.
    Shape {
        /// Words of one fingerprint.
        words: usize,
        /// Words in all.
        len: usize,
    },
    /// Two things that belong together differ in length.
    Length {
        /// What has the wrong length.
        what: &'static str,
        /// The right length.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// More rows than a selection can number.
    TooManyRows {
        /// Number of rows.
        rows: usize,
    },
    /// A radius beyond the length of the fingerprints.
    Radius {
        /// The radius asked for.
        radius: u32,
        /// Bits of a fingerprint.
        bits: u32,
    },
    /// The offsets are not those of consecutive volumes.
    Starts {
        /// Number of rows that the volumes must cover.
        rows: usize,
    },
    /// Every 0th slice.
    EveryZero,
    /// A fraction to keep that is not in (0, 1].
    Fraction {
        /// The fraction asked for.
        fraction: f64,
    },
    /// An embedding holds a number that is not finite.
    NotFinite {
        /// Its row.
        row: usize,
    },
    /// A threshold that is no cosine.
    Cosine {
        /// What was given.
        threshold: f64,
    },
    /// The caller asked to stop.
    Cancelled,
}

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SelectError::Shape { words, len } => write!(
                f,
                "{len} words are not fingerprints of {words} words (1 to {} words each)",
                crate::hamming::MAX_WORDS
            ),
            SelectError::Length {
                what,
                expected,
                found,
            } => {
                write!(f, "expected {expected} {what}, found {found}")
            }
            SelectError::TooManyRows { rows } => {
                write!(
                    f,
                    "{rows} slices are more than the {} that one selection can hold",
                    u32::MAX
                )
            }
            SelectError::Radius { radius, bits } => {
                write!(
                    f,
                    "threshold {radius} is larger than the fingerprint's {bits} bits"
                )
            }
            SelectError::Starts { rows } => {
                write!(
                    f,
                    "volume offsets must ascend from 0 to the number of slices, {rows}"
                )
            }
            SelectError::EveryZero => write!(f, "every-n needs n of at least 1, found 0"),
            SelectError::Fraction { fraction } => {
                write!(
                    f,
                    "the fraction to keep must be above 0 and at most 1, found {fraction}"
                )
            }
            SelectError::NotFinite { row } => {
                write!(f, "embedding {row} holds a number that is not finite")
            }
            SelectError::Cosine { threshold } => {
                write!(
                    f,
                    "the threshold must be a cosine, from -1 to 1, found {threshold}"
                )
            }
            SelectError::Cancelled => write!(f, "the selection was stopped before its end"),
        }
    }
}

impl std::error::Error for SelectError {}
