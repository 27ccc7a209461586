//! How many files of this run could not be read, and why: what tells that a run is going wrong.

use ctprune_dicom::code::{CODES, Code};

/// Files of this run that were tried, and those that failed, by code.
#[derive(Clone, Debug)]
pub struct Failures {
    /// Files that were read or could not be.
    pub tried: u64,
    of_code: [u64; CODES.len()],
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            tried: 0,
            of_code: [0; CODES.len()],
        }
    }
}

impl Failures {
    /// One more file that could not be read.
    pub(super) fn add(&mut self, code: Code) {
        self.of_code[code as usize] += 1;
    }

    /// Files that could not be read.
    pub fn files(&self) -> u64 {
        self.of_code.iter().sum()
    }

    /// Codes that there are, the most frequent first.
    pub fn by_code(&self) -> Vec<(Code, u64)> {
        let counted = CODES
            .iter()
            .map(|about| (about.code, self.of_code[about.code as usize]));
        let mut found: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
        found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_code_comes_first() {
        let mut failures = Failures::default();
        for code in [Code::Io, Code::Truncated, Code::Empty, Code::Truncated] {
            failures.add(code);
        }
        assert_eq!(failures.files(), 4);
        let expected = [(Code::Truncated, 2), (Code::Io, 1), (Code::Empty, 1)];
        assert_eq!(failures.by_code(), expected);
    }
}
