//! The greedy exemplar rule on a similarity of pixels, within a volume, at many thresholds in one pass.

mod cover;
mod exemplars;
pub mod naive;
#[cfg(test)]
mod tests;
mod thresholds;

pub use cover::{PixelCover, cover_at};
pub use exemplars::{Candidate, PixelSelection, exemplars};
