//! Deflated data sets (PS3.5 A.5).

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::source::Input;

/// What a data set may take beyond the pixels of its largest slice.
const BESIDE_PIXELS: u64 = 64 << 20;

/// The data set that is deflated from `start` to the end of the file. One that grows beyond a slice's limit
/// is refused as soon as it does: a few bytes can stand for gigabytes.
pub(crate) fn inflate(input: &mut Input<'_>, start: usize, max_slice_bytes: u64) -> Result<Vec<u8>, String> {
    let limit = max_slice_bytes.saturating_add(BESIDE_PIXELS);
    let deflated = input
        .reader_from(start as u64)
        .map_err(|e| format!("the file cannot be read: {e}"))?;
    let mut inflated = Vec::new();
    DeflateDecoder::new(deflated)
        .take(limit.saturating_add(1))
        .read_to_end(&mut inflated)
        .map_err(|e| format!("the deflated data set is broken: {e}"))?;
    if inflated.len() as u64 > limit {
        return Err(format!(
            "the deflated data set needs more than the limit of {limit} bytes"
        ));
    }
    Ok(inflated)
}
