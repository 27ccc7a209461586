//! Find the files of the sources.

pub mod dicomdir;
mod examine;
pub mod exclusions;
pub mod files;
pub mod location;
pub mod natural;
pub mod shard;
pub mod texts;
pub mod walk;
