//! An archive as a table: walk the sources, read and fingerprint every slice, group slices into volumes,
//! select, and write the manifest.

pub mod archive;
pub mod discover;
pub mod error;
pub mod fingerprint_file;
pub mod methods;
pub mod pixels;
pub mod rows;
pub mod volumes;
