//! Why fingerprints cannot be compared.

use super::MAX_WORDS;
use std::fmt;

/// Why fingerprints cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FingerprintError {
    /// The data are not whole fingerprints of a length that is supported.
    Shape {
        /// Words of one fingerprint.
        words: usize,
        /// Words in all.
        found: usize,
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
}

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { words, .. } if !(1..=MAX_WORDS).contains(words) => {
                write!(
                    f,
                    "expected fingerprints of 1 to {MAX_WORDS} words of 64 bits, found {words}"
                )
            }
            Self::Shape { words, found } => {
                write!(
                    f,
                    "expected whole fingerprints of {words} words, found {found} words"
                )
            }
            Self::Length {
                what,
                expected,
                found,
            } => write!(f, "expected {expected} {what}, found {found}"),
        }
    }
}

impl std::error::Error for FingerprintError {}
