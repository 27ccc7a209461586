//! Files to slices: DICOM (any name, with or without preamble), NIfTI, PNG, JPEG, TIFF.
//!
//! [`slice`] holds the shared types; each format is one module.

mod aligned;
pub mod code;
pub mod contain;
pub mod dicom;
pub mod error;
pub mod image;
pub mod jpeg_ls;
mod libjpeg;
pub mod nifti;
pub mod open;
pub mod png_writer;
pub mod read;
mod samples;
pub mod slice;
pub mod text;
pub mod turns;
