//! Memory that a thread reuses from file to file.

use super::file_meta::FileMeta;
use super::header::Header;
use crate::aligned::AlignedBytes;

/// What reading needs to remember between files: one per thread, made with `Buffers::default()`.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(crate) header: Header,
    pub(crate) meta: FileMeta,
    /// The file, or the part of it up to the pixel data.
    pub(crate) file: AlignedBytes,
    pub(crate) frames: FrameBuffers,
}

/// Memory for one frame while it is decoded.
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
    /// Gives back what an unusually large file needed.
    pub(crate) fn trim(&mut self) {
        let FrameBuffers {
            encoded,
            decoded,
            samples,
        } = &mut self.frames;
        [&mut self.file, encoded, decoded, samples]
            .into_iter()
            .for_each(AlignedBytes::trim);
    }
}
