//! Deflated data sets (PS3.5 A.5).

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::source::Input;
use crate::error::ReadError;
use crate::slice::ReadOptions;
use crate::turns;

/// What a data set may take beyond the pixels of its largest slice.
const BESIDE_PIXELS: u64 = 64 << 20;

/// The data set that is deflated from `start` to the end of the file. One that grows beyond a slice's limit
/// is refused as soon as it does: a few bytes can stand for gigabytes.
pub(crate) fn inflate(
    input: &mut Input<'_>,
    start: usize,
    options: &ReadOptions,
) -> Result<Vec<u8>, ReadError> {
    let limit = options.max_slice_bytes.saturating_add(BESIDE_PIXELS);
    let deflated = input
        .reader_from(start as u64)
        .map_err(|e| ReadError::io("the file cannot be read", &e))?;
    let mut inflated = Vec::new();
    let mut decoder = DeflateDecoder::new(deflated);
    let mut read_up_to = |bytes: u64, inflated: &mut Vec<u8>| {
        let more = bytes - inflated.len() as u64;
        let read = (&mut decoder).take(more).read_to_end(inflated);
        read.map_err(|e| ReadError::Corrupt {
            what: "deflated data set",
            reason: e.to_string(),
        })
    };
    let first = limit.min(turns::LARGE).saturating_add(1);
    read_up_to(first, &mut inflated)?;
    turns::wait_for(inflated.len() as u64, options);
    read_up_to(limit.saturating_add(1), &mut inflated)?;
    if inflated.len() as u64 > limit {
        return Err(ReadError::TooLarge {
            what: "the bytes of the deflated data set".into(),
            limit,
        });
    }
    Ok(inflated)
}
