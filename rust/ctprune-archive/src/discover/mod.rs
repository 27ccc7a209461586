//! Find the files of the sources.

pub mod exclusions;
pub mod files;
pub mod natural;
pub mod texts;
pub mod walk;
