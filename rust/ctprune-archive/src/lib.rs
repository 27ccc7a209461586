//! An archive as a table: walk the sources, read and fingerprint every slice, group slices into volumes,
//! select, and write the manifest.

pub mod archive;
pub mod discover;
pub mod error;
pub mod fingerprint_file;
pub mod kernels;
pub mod methods;
pub mod open;
pub mod open_many;
pub mod pixels;
pub mod pseudonyms;
pub mod rows;
pub mod volumes;
