//! An option that cannot be used: which one, what it was, and what it could be.

use std::fmt;

/// Why an option cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// Its name, as in Python: `threshold`.
    pub option: &'static str,
    /// What it could be: `0 to 64 bits`.
    pub expected: String,
    /// What was given: `70`.
    pub found: String,
}

impl OptionError {
    /// For a value that was given as `found`.
    pub fn new(option: &'static str, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self {
            option,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: expected {}", self.option, self.found, self.expected)
    }
}

impl std::error::Error for OptionError {}
