//! What ctprune computes, without Python and without file formats.
//!
//! Data flows one way: stored pixels ([`pixels`]) → 8-bit grey ([`intensity`]) → fingerprint
//! ([`fingerprint`], by [`resample`]) → distance ([`hamming`]) → selection ([`select`]).

pub mod cosine;
mod cpu;
pub mod fingerprint;
pub mod hamming;
pub mod intensity;
pub mod pixels;
pub mod resample;
pub mod select;
pub mod similarity;
pub mod square;
