//! Files to slices: DICOM (any name, with or without preamble), NIfTI, PNG, JPEG, TIFF.
//!
//! [`slice`] holds the shared types; each format is one module.

pub mod encode;
pub mod slice;
