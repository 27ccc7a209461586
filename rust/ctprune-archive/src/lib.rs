//! An archive as a table: walk the sources, read and fingerprint every slice, group slices into volumes,
//! select, and hand out the columns of the manifest.

pub mod archive;
pub mod columns;
pub mod exclusions;
pub mod files;
pub mod frames;
pub mod geometry;
pub mod intern;
pub mod method;
pub mod natural;
pub mod packed;
pub mod pixel_sweep;
pub mod reader;
pub mod table;
pub mod volume;
pub mod walk;
