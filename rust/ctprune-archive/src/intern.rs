//! Values that repeat over thousands of slices are stored once and named by a number.

use rustc_hash::FxHashMap;
use std::hash::Hash;

/// A set of distinct values, each with the number of its first appearance.
#[derive(Debug)]
pub struct Interner<T> {
    values: Vec<T>,
    numbers: FxHashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: FxHashMap::default(),
        }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    /// The number of this value, a new one if it was not seen before.
    pub fn number(&mut self, value: &T) -> u32 {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        let number =
            u32::try_from(self.values.len()).expect("fewer than 2^32 distinct values: rows are fewer");
        self.values.push(value.clone());
        self.numbers.insert(value.clone(), number);
        number
    }

    /// The value with this number.
    pub fn value(&self, number: u32) -> &T {
        &self.values[number as usize]
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

/// An array of floats as a key.
pub fn bits<const N: usize>(values: [f64; N]) -> [Bits; N] {
    values.map(Bits::from)
}

/// The floats of a key.
pub fn floats<const N: usize>(values: [Bits; N]) -> [f64; N] {
    values.map(f64::from)
}
