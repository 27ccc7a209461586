//! JPEG 2000 and HTJ2K, with one decoder for each thread. What it does not implement is refused as
//! unsupported, so that pydicom's decoders may try it, in a process of their own.

use std::cell::RefCell;

use ctprune_jpeg2000::{Decoder, Error};

use crate::code::Code;
use crate::error::ReadError;
use crate::slice::Refusal;

thread_local! {
    /// Its buffers are several times as large as a slice: kept from file to file.
    static DECODER: RefCell<Decoder> = RefCell::default();
}

/// Decodes a codestream of one component into `target`; see [`Decoder::decode`].
pub(crate) fn decode(
    codestream: &[u8],
    rows_and_columns: (usize, usize),
    target: &mut [u8],
) -> Result<(), Refusal> {
    let decoded = DECODER.with_borrow_mut(|decoder| decoder.decode(codestream, rows_and_columns, target));
    decoded.map_err(|error| match error {
        Error::Unsupported(what) => {
            Refusal::unsupported(Code::Unsupported, format!("a JPEG 2000 stream with {what}"))
        }
        broken => ReadError::Jpeg2000(broken).into(),
    })
}
