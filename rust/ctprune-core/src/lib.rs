//! What ctprune computes, without Python and without file formats.
//!
//! Data flows one way: stored pixels ([`pixels`]) → 8-bit gray ([`intensity`]) → fingerprint ([`fingerprint`], by
//! [`resample`]) or picture of one size ([`resize`]) → how alike two slices are ([`similarity`]) → which slices to keep
//! ([`selection`]), and which volumes show the same anatomy ([`duplicates`]).

pub mod duplicates;
pub mod fingerprint;
pub mod intensity;
pub mod option;
pub mod pixels;
pub mod resample;
pub mod resize;
pub mod selection;
pub mod similarity;
pub mod watch;
