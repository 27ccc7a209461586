//! JPEG 2000 and HTJ2K, with one decoder for each thread.

use std::cell::RefCell;

use ctprune_jpeg2000::{Decoder, Error};

thread_local! {
    /// Its buffers are several times as large as a slice: kept from file to file.
    static DECODER: RefCell<Decoder> = RefCell::default();
}

/// Decodes a codestream of one component into `target`; see [`Decoder::decode`].
pub(crate) fn decode(
    codestream: &[u8],
    rows_and_columns: (usize, usize),
    target: &mut [u8],
) -> Result<(), Error> {
    DECODER.with_borrow_mut(|decoder| decoder.decode(codestream, rows_and_columns, target))
}
