//! The readers of plain files (PNG, JPEG, TIFF, NIfTI) on files that the tests build themselves.

mod files;
mod jpeg;
mod nifti;
mod nifti_geometry;
mod png;
mod seen;
mod tiff;
