//! Coefficients split into 16-bit halves, for processors that multiply 16-bit numbers fast.
//!
//! A coefficient has up to 24 bits. It is taken apart as `major × 2^shift + minor`. The major halves
//! alone give a sum that is off by a small, known bound; the final rounding to 8 bits hides it for all
//! but one or two pixels in a hundred, and for those the minor halves are added. So the result is exact
//! and costs half of the multiplications.

use super::lanczos::{HALF, Window};

/// Pixels that are multiplied at a time.
pub(super) const CHUNK: usize = 16;

/// Consecutive 16-bit numbers, pixels or coefficients, aligned for 256-bit loads.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Chunk(pub [i16; CHUNK]);

impl Chunk {
    pub const ZERO: Self = Self([0; CHUNK]);
}

/// The largest major half.
const MAX_MAJOR: i32 = i16::MAX as i32;

/// Middle of the pixel values, around which the minor halves' share is estimated.
const MIDDLE: i32 = 128;

/// A [`Window`] with split coefficients, from a chunk's boundary to a chunk's boundary.
#[derive(Debug)]
pub(super) struct SplitWindow {
    /// First chunk of the row.
    pub start: usize,
    /// Major halves.
    pub major: Vec<Chunk>,
    /// Minor halves.
    pub minor: Vec<Chunk>,
    /// Bits that the major halves are shifted by.
    pub shift: u32,
    /// What is added to the shifted sum of the major halves: one half, for rounding, and the minor
    /// halves' share were all pixels of the middle value.
    pub bias: i32,
    /// How far the true sum can be from that, whatever the pixels.
    pub margin: i32,
}

impl SplitWindow {
    /// Splits one window.
    pub fn new(window: &Window) -> Self {
        let start = window.start / CHUNK;
        let lead = window.start % CHUNK;
        let chunks = (lead + window.weights.len()).div_ceil(CHUNK);
        let largest = window.weights.iter().map(|w| w.abs()).max().unwrap_or(0);
        let shift = (0..)
            .find(|&shift| (largest + (1 << shift) / 2) >> shift <= MAX_MAJOR)
            .unwrap_or(0);
        let (mut major, mut minor) = (vec![Chunk::ZERO; chunks], vec![Chunk::ZERO; chunks]);
        let (mut sum, mut spread) = (0, 0);
        for (i, &weight) in window.weights.iter().enumerate() {
            let (chunk, lane) = ((lead + i) / CHUNK, (lead + i) % CHUNK);
            let rounded = (weight + (1 << shift) / 2) >> shift;
            let rest = weight - (rounded << shift);
            major[chunk].0[lane] = rounded as i16;
            minor[chunk].0[lane] = rest as i16;
            sum += rest;
            spread += rest.abs();
        }
        Self {
            start,
            major,
            minor,
            shift,
            bias: HALF + MIDDLE * sum,
            margin: MIDDLE * spread,
        }
    }

    /// The sum as the scalar version computes it, from those of the two halves.
    pub fn exact(&self, major_sum: i32, minor_sum: i32) -> i32 {
        (major_sum << self.shift) + minor_sum + HALF
    }
}
