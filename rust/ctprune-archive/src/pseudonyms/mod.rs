//! Names of sources, files and DICOM objects replaced by keyed hashes, and found again by who has the key.

pub mod key;
pub mod names;
pub mod originals;
