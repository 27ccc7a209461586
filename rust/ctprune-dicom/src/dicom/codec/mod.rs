//! One compressed frame → samples in this machine's byte order.

mod rle;

use super::memory::AlignedBytes;
use super::stored::Sample;
use super::transfer_syntax::Compression;

/// What the data set announces about a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub rows: u32,
    pub columns: u32,
    pub sample: Sample,
    pub signed: bool,
}

/// Decodes `frame` into `rows × columns` samples at the start of `target`; returns how they lie there.
pub(crate) fn decode(
    compression: Compression,
    frame: &[u8],
    expected: &Expected,
    target: &mut AlignedBytes,
) -> Result<Sample, String> {
    match compression {
        Compression::Rle => {
            let pixels = expected.rows as usize * expected.columns as usize;
            let size = expected.sample.bytes();
            rle::decode(frame, size, target.take(pixels * size))?;
            Ok(expected.sample)
        }
        _ => Err("no".into()),
    }
}
