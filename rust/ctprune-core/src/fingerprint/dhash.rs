//! The difference hash: which pixels of a much reduced slice are brighter than their left neighbour.
//!
//! Figure 2 of Wolf et al. 2024, arXiv 2410.14524; bit for bit `imagehash.dhash(image, hash_size)`.

use std::collections::HashMap;

use crate::resample::{PassOrder, Plan, Scratch};

/// The smallest hash size, as in ImageHash.
pub const MIN_HASH_SIZE: usize = 2;
/// The largest hash size: 1024 bits.
pub const MAX_HASH_SIZE: usize = 32;

/// Plans kept at a time. An archive has few matrix sizes; a folder of odd pictures must not fill memory.
const MAX_PLANS: usize = 64;

/// Computes dHashes on one thread; keeps what it prepared for each size of slice.
#[derive(Debug)]
pub struct DhashEngine {
    hash_size: usize,
    order: PassOrder,
    plans: HashMap<(usize, usize), Plan>,
    scratch: Scratch,
    reduced: Vec<u8>,
}

impl DhashEngine {
    /// An engine for hashes of `hash_size²` bits, `hash_size` from 2 to 32.
    ///
    /// The order of the passes is the one thing in which versions of Pillow differ.
    pub fn new(hash_size: usize, order: PassOrder) -> Result<Self, String> {
        if !(MIN_HASH_SIZE..=MAX_HASH_SIZE).contains(&hash_size) {
            return Err(format!(
                "hash size {hash_size} is not between {MIN_HASH_SIZE} and {MAX_HASH_SIZE}"
            ));
        }
        let reduced = vec![0; (hash_size + 1) * hash_size];
        Ok(Self {
            hash_size,
            order,
            plans: HashMap::new(),
            scratch: Scratch::default(),
            reduced,
        })
    }

    /// The hash size that the engine was made for.
    pub fn hash_size(&self) -> usize {
        self.hash_size
    }

    /// Writes the fingerprint of one slice into `out`, which holds [`words`](super::words) words.
    ///
    /// `grey` is `rows × columns`, row-major; neither may be 0.
    ///
    /// # Panics
    /// When the lengths of `grey` or `out` are not those.
    pub fn hash(&mut self, grey: &[u8], rows: usize, columns: usize, out: &mut [u64]) {
        assert!(
            !grey.is_empty() && rows.checked_mul(columns) == Some(grey.len()),
            "grey is not rows × columns"
        );
        assert_eq!(
            out.len(),
            super::words(self.hash_size),
            "out has another number of words"
        );
        let size = self.hash_size;
        if self.plans.len() >= MAX_PLANS && !self.plans.contains_key(&(rows, columns)) {
            self.plans.clear();
        }
        let plan = self
            .plans
            .entry((rows, columns))
            .or_insert_with(|| Plan::new(rows, columns, size, size + 1, self.order));
        plan.run(grey, &mut self.scratch, &mut self.reduced);
        pack_differences(&self.reduced, size, out);
    }
}

/// One bit for each pair of neighbours in rows of `size + 1` pixels: whether the right one is larger.
fn pack_differences(reduced: &[u8], size: usize, out: &mut [u64]) {
    out.fill(0);
    let bits = reduced
        .chunks_exact(size + 1)
        .flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0]));
    for (i, bit) in bits.enumerate() {
        out[i / 64] |= u64::from(bit) << (63 - i % 64);
    }
}
