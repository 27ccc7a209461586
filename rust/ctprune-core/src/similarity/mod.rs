//! How alike two slices are: by fingerprints ([`hamming`]), embeddings ([`cosine`]) or pixels ([`ssim`], [`mi`]).
//!
//! A [`Measure`] of pixels prepares each slice once; a pair then costs what only the pair can tell. [`naive`] holds the
//! measures as plain sentences, and the fast ways give its answer.

pub mod cosine;
#[cfg(test)]
pub(crate) mod drifting;
mod error;
pub mod hamming;
mod measure;
pub mod mi;
pub mod naive;
pub mod ssim;
#[cfg(test)]
mod tests;

pub use error::PictureError;
pub(crate) use measure::rounded;
pub use measure::{Measure, Picture, Verdict};
