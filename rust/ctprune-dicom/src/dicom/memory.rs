//! Memory that a thread reuses from file to file.

use super::file_meta::FileMeta;
use super::header::Header;

/// A byte buffer aligned for every sample type, which grows but does not clear what it held.
#[derive(Debug, Default)]
pub(crate) struct AlignedBytes {
    words: Vec<u64>,
}

impl AlignedBytes {
    /// `len` bytes with arbitrary content.
    pub fn take(&mut self, len: usize) -> &mut [u8] {
        let words = len.div_ceil(size_of::<u64>());
        if self.words.len() < words {
            // Freed first: what it holds is not wanted, so both need not be alive at once.
            self.words = Vec::new();
            self.words = vec![0; words];
        }
        &mut bytemuck::cast_slice_mut(&mut self.words)[..len]
    }

    /// The first `len` bytes, as left by the last [`AlignedBytes::take`] of at least as many.
    pub fn bytes(&self, len: usize) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..len]
    }

    fn capacity(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }
}

/// What reading needs to remember between files: one per thread, made with `Buffers::default()`.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(crate) header: Header,
    pub(crate) meta: FileMeta,
    /// The file, or the part of it up to the pixel data.
    pub(crate) file: AlignedBytes,
    pub(crate) frames: FrameBuffers,
}

/// Memory for one frame on its way to pixels.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffers {
    /// Its compressed bytes, where they lie in pieces or on disk.
    pub encoded: AlignedBytes,
    /// What a codec makes of it.
    pub decoded: AlignedBytes,
    /// Samples after masking or conversion.
    pub samples: AlignedBytes,
}

impl Buffers {
    /// Gives back what an unusually large file needed, so that a run's memory is that of its usual files.
    pub(crate) fn trim(&mut self) {
        let FrameBuffers {
            encoded,
            decoded,
            samples,
        } = &mut self.frames;
        for buffer in [&mut self.file, encoded, decoded, samples] {
            if buffer.capacity() > super::source::WHOLE_FILE_LIMIT {
                *buffer = AlignedBytes::default();
            }
        }
    }
}
