//! Files that are not read, by their paths. They have a row all the same.

use regex::Regex;

/// How the reason of such a row begins; what the user wrote follows.
pub const EXCLUDED: &str = "excluded by --exclude ";

/// Patterns of paths, each with the reason that goes into the rows.
#[derive(Clone, Debug, Default)]
pub struct Exclusions(Vec<(Regex, String)>);

impl Exclusions {
    /// Exclude files whose path matches `pattern`; `glob` is what the user wrote.
    pub fn add(&mut self, pattern: Regex, glob: &str) {
        self.0.push((pattern, format!("{EXCLUDED}{glob}")));
    }

    /// Whether there is none, so that no path need be put together.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reason of the first pattern that matches a path relative to its source; `None` when the file is read.
    pub fn reason(&self, path: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(pattern, _)| pattern.is_match(path))
            .map(|(_, reason)| reason.as_str())
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
        let reason = |path| exclusions.reason(path);
        assert_eq!(reason("labelsTr/a.nii"), Some("excluded by --exclude labelsTr/*"));
        assert_eq!(reason("imagesTr/a.nii"), Some("excluded by --exclude **/*.nii"));
        assert_eq!(reason("a.nii"), Some("excluded by --exclude **/*.nii"));
        assert_eq!(reason("imagesTr/a.dcm"), None);
    }
}
