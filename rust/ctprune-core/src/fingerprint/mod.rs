//! From 8-bit grey to a fingerprint: a short string of bits that near-duplicates share for the most part.
//!
//! Bits are kept in 64-bit words, the first bit in the most significant place, the end padded with
//! zeros. So the words' big-endian bytes are what `numpy.packbits` makes of the same bits, and the
//! hexadecimal digits of a 64-bit fingerprint are those that ImageHash prints.

mod dhash;
#[cfg(test)]
mod tests;

pub use dhash::{DhashEngine, MAX_HASH_SIZE, MIN_HASH_SIZE};

/// Number of 64-bit words of a fingerprint of `hash_size²` bits.
pub fn words(hash_size: usize) -> usize {
    (hash_size * hash_size).div_ceil(64)
}

/// Number of bytes of a fingerprint of `hash_size²` bits.
pub fn bytes(hash_size: usize) -> usize {
    (hash_size * hash_size).div_ceil(8)
}
