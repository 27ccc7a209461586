//! Fingerprints of slices of any size, one after the other on one thread.

use super::{Bits, Kind, words};
use crate::option::OptionError;
use crate::resample::{PassOrder, Plan, Scratch};
use std::collections::HashMap;
use std::fmt;

/// The smallest hash size, as in ImageHash.
pub const MIN_HASH_SIZE: usize = 2;
/// The largest hash size: 1024 bits.
pub const MAX_HASH_SIZE: usize = 32;

/// Plans kept at a time. An archive has few matrix sizes; a folder of odd pictures must not fill memory.
const MAX_PLANS: usize = 64;

/// Computes fingerprints on one thread; keeps what it prepared for each size of slice.
pub struct Engine {
    kind: &'static Kind,
    hash_size: usize,
    order: PassOrder,
    plans: HashMap<(usize, usize), Plan>,
    scratch: Scratch,
    resized: Vec<u8>,
    bits: Bits,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("kind", &self.kind.name)
            .field("hash_size", &self.hash_size)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for fingerprints of `hash_size²` bits, `hash_size` from 2 to 32.
    ///
    /// The order of the passes is the one thing in which versions of Pillow differ.
    pub fn new(kind: &'static Kind, hash_size: usize, order: PassOrder) -> Result<Self, OptionError> {
        if !(MIN_HASH_SIZE..=MAX_HASH_SIZE).contains(&hash_size) {
            let expected = format!("{MIN_HASH_SIZE} to {MAX_HASH_SIZE}");
            return Err(OptionError::new("hash_size", expected, hash_size));
        }
        let [rows, columns] = (kind.resized)(hash_size);
        Ok(Self {
            kind,
            hash_size,
            order,
            plans: HashMap::new(),
            scratch: Scratch::default(),
            resized: vec![0; rows * columns],
            bits: (kind.bits)(hash_size),
        })
    }

    /// The kind of fingerprint that the engine makes.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The hash size that the engine was made for.
    pub fn hash_size(&self) -> usize {
        self.hash_size
    }

    /// Writes the fingerprint of one slice into `out`, which holds [`words`] words.
    ///
    /// `gray` is `rows × columns`, row-major; neither may be 0.
    ///
    /// # Panics
    /// When the lengths of `gray` or `out` are not those.
    pub fn hash(&mut self, gray: &[u8], rows: usize, columns: usize, out: &mut [u64]) {
        assert!(
            !gray.is_empty() && rows.checked_mul(columns) == Some(gray.len()),
            "gray is not rows × columns"
        );
        assert_eq!(
            out.len(),
            words(self.hash_size),
            "out has another number of words"
        );
        if self.plans.len() >= MAX_PLANS && !self.plans.contains_key(&(rows, columns)) {
            self.plans.clear();
        }
        let [out_rows, out_columns] = (self.kind.resized)(self.hash_size);
        let plan = self
            .plans
            .entry((rows, columns))
            .or_insert_with(|| Plan::new(rows, columns, out_rows, out_columns, self.order));
        plan.run(gray, &mut self.scratch, &mut self.resized);
        (self.bits)(&self.resized, out);
    }
}
