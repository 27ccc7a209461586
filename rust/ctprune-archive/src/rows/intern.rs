//! Values that repeat over thousands of slices are stored once and named by a number.

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;
use std::hash::Hash;

/// A set of distinct values, each with the number of its first appearance.
#[derive(Debug)]
pub struct Interner<T>(IndexSet<T, FxBuildHasher>);

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self(IndexSet::default())
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    /// The number of this value, a new one if it was not seen before.
    pub fn number(&mut self, value: &T) -> u32 {
        let number = match self.0.get_index_of(value) {
            Some(number) => number,
            None => self.0.insert_full(value.clone()).0,
        };
        u32::try_from(number).expect("fewer than 2^32 distinct values: rows are fewer")
    }

    /// The value with this number.
    pub fn value(&self, number: u32) -> &T {
        &self.0[number as usize]
    }
}

/// A float that can be a key: equal when its bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bits(u64);

impl From<f64> for Bits {
    fn from(value: f64) -> Self {
        // -0.0 and 0.0 are the same direction cosine.
        Self((value + 0.0).to_bits())
    }
}

impl From<Bits> for f64 {
    fn from(bits: Bits) -> Self {
        f64::from_bits(bits.0)
    }
}
