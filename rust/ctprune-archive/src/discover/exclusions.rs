//! Files that are not read, by their paths. They have a row all the same.

use ctprune_containers::promised_kind;
use ctprune_dicom::code::{Code, Reason};
use regex::Regex;

/// How the reason of such a row begins; what the user wrote follows.
pub const EXCLUDED: &str = "excluded by --exclude ";

/// The reason of a row whose path no pattern takes in.
const NOT_INCLUDED: &str = "not matched by any --include";

/// Patterns of paths: of those to leave out, each with the reason that goes into the rows, and of those to take in.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    left_out: Vec<(Regex, Reason)>,
    taken_in: Vec<Regex>,
}

impl Exclusions {
    /// Exclude files whose path matches `pattern`; `glob` is what the user wrote.
    pub fn add(&mut self, pattern: Regex, glob: &str) {
        let reason = Reason::new(Code::Excluded, format!("{EXCLUDED}{glob}"));
        self.left_out.push((pattern, reason));
    }

    /// Take in only files whose path matches `pattern` or another one given so.
    pub fn include(&mut self, pattern: Regex) {
        self.taken_in.push(pattern);
    }

    /// Whether there is none, so that no path need be put together.
    pub fn is_empty(&self) -> bool {
        self.left_out.is_empty() && self.taken_in.is_empty()
    }

    /// Why a file with this path relative to its source is not read: the first pattern that leaves it out, or that none
    /// takes it in; `None` when it is read. A container is opened, by its name: its members have paths of their own.
    pub fn reason(&self, path: &str) -> Option<Reason> {
        let left_out = self.left_out.iter().find(|(pattern, _)| pattern.is_match(path));
        if let Some((_, reason)) = left_out {
            return Some(reason.clone());
        }
        let is_taken = self.taken_in.is_empty() || self.taken_in.iter().any(|pattern| pattern.is_match(path));
        (!is_taken && promised_kind(path).is_none()).then(|| Reason::new(Code::NotIncluded, NOT_INCLUDED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_gives_the_reason() {
        let mut exclusions = Exclusions::default();
        assert!(exclusions.is_empty());
        assert_eq!(exclusions.reason("labelsTr/a.nii"), None);
        exclusions.add(Regex::new("^(?:labelsTr/[^/]*)(?:/.*)?$").unwrap(), "labelsTr/*");
        exclusions.add(
            Regex::new(r"(?s)^(?:(?:.*/)?[^/]*\.nii)(?:/.*)?$").unwrap(),
            "**/*.nii",
        );
        assert!(!exclusions.is_empty());
        let reason = |path| exclusions.reason(path).map(|reason| reason.text);
        let reason = |path| reason(path).map(std::borrow::Cow::into_owned);
        let excluded = |glob: &str| Some(format!("{EXCLUDED}{glob}"));
        assert_eq!(reason("labelsTr/a.nii"), excluded("labelsTr/*"));
        assert_eq!(reason("imagesTr/a.nii"), excluded("**/*.nii"));
        assert_eq!(reason("a.nii"), excluded("**/*.nii"));
        assert_eq!(reason("imagesTr/a.dcm"), None);
    }

    #[test]
    fn what_no_pattern_takes_in_is_left_out_but_for_containers() {
        let mut exclusions = Exclusions::default();
        exclusions.include(Regex::new("^(?:imagesTr/[^/]*)(?:/.*)?$").unwrap());
        assert!(!exclusions.is_empty());
        let code = |path| exclusions.reason(path).map(|reason| reason.code);
        assert_eq!(code("imagesTr/a.nii"), None);
        assert_eq!(code("labelsTr/a.nii"), Some(Code::NotIncluded));
        assert_eq!(code("all.zip"), None);
        assert_eq!(code("all.zip!/labelsTr/a.nii"), Some(Code::NotIncluded));
    }
}
