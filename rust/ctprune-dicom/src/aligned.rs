//! Memory that is aligned for every type of sample and reused from slice to slice.

use crate::turns;

/// A byte buffer aligned for every sample type, which grows but does not clear what it held.
#[derive(Debug, Default)]
pub(crate) struct AlignedBytes {
    words: Vec<u64>,
}

impl AlignedBytes {
    /// `len` bytes with arbitrary content.
    ///
    /// A buffer that is too small is replaced, not grown: fresh zeroed memory costs nothing until it is
    /// written to, so a header that promises more than its file holds stays cheap, and old and new are not
    /// alive at once.
    pub fn take(&mut self, len: usize) -> &mut [u8] {
        let words = len.div_ceil(size_of::<u64>());
        if self.words.len() < words {
            self.words = Vec::new();
            self.words = vec![0; words];
        }
        &mut bytemuck::cast_slice_mut(&mut self.words)[..len]
    }

    /// The first `len` bytes, as left by the last [`AlignedBytes::take`] of at least as many.
    pub fn bytes(&self, len: usize) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..len]
    }

    /// Gives back what an unusually large slice needed, so that a run's memory is that of its usual files.
    pub fn trim(&mut self) {
        if self.words.len() * size_of::<u64>() > turns::LARGE as usize {
            self.words = Vec::new();
        }
    }
}
