//! From 8-bit gray to a fingerprint: a short string of bits that near-duplicates share for the most part.
//!
//! Bits are kept in 64-bit words, the first bit in the most significant place, the end padded with
//! zeros. So the words' big-endian bytes are what `numpy.packbits` makes of the same bits, and the
//! hexadecimal digits of a 64-bit fingerprint are those that ImageHash prints.
//!
//! One file per kind. To add one: a file with a [`Kind`], and its name below.

mod ahash;
mod dhash;
mod engine;
mod phash;
#[cfg(test)]
mod tests;

pub use ahash::AHASH;
pub use dhash::DHASH;
pub use engine::{Engine, MAX_HASH_SIZE, MIN_HASH_SIZE};
pub use phash::PHASH;

/// A kind of fingerprint: the size that a slice is resampled to, and the bits of the result.
#[derive(Debug)]
pub struct Kind {
    /// Its name, as ImageHash has it.
    pub name: &'static str,
    /// Rows and columns that a slice is resampled to for a hash size.
    resized: fn(usize) -> [usize; 2],
    /// What makes the bits, for a hash size.
    bits: fn(usize) -> Bits,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

/// Writes the `hash_size²` bits of a resampled slice into words.
type Bits = Box<dyn FnMut(&[u8], &mut [u64]) + Send>;

/// Number of 64-bit words of a fingerprint of `hash_size²` bits.
pub fn words(hash_size: usize) -> usize {
    (hash_size * hash_size).div_ceil(64)
}

/// Number of bytes of a fingerprint of `hash_size²` bits.
pub fn bytes(hash_size: usize) -> usize {
    (hash_size * hash_size).div_ceil(8)
}

/// Packs bits, the first one first.
fn pack(bits: impl Iterator<Item = bool>, out: &mut [u64]) {
    out.fill(0);
    for (i, bit) in bits.enumerate() {
        out[i / 64] |= u64::from(bit) << (63 - i % 64);
    }
}
