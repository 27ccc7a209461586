//! Any bytes as a JPEG 2000 codestream: samples or an error, never a crash, and the same by a decoder that was
//! used before.

#![no_main]

use std::cell::RefCell;

use ctprune_jpeg2000::Decoder;
use libfuzzer_sys::fuzz_target;

thread_local! {
    /// Kept from input to input, as a run keeps it from file to file.
    static DECODER: RefCell<Decoder> = RefCell::default();
}

/// What the stream says of its size and depth: what does not fit would be refused at once.
fn shape(stream: &[u8]) -> Option<(usize, usize, usize)> {
    let field = |n: usize| Some(u32::from_be_bytes(*stream.get(8 + 4 * n..)?.first_chunk()?));
    let columns = field(0)?.checked_sub(field(2)?)? as usize;
    let rows = field(1)?.checked_sub(field(3)?)? as usize;
    let sample_bytes = if stream.get(42)? & 0x7F < 8 { 1 } else { 2 };
    (rows.checked_mul(columns)? <= 1 << 20).then_some((rows, columns, sample_bytes))
}

fuzz_target!(|stream: &[u8]| {
    let Some((rows, columns, sample_bytes)) = shape(stream) else {
        return;
    };
    let mut used = vec![0; rows * columns * sample_bytes];
    let mut fresh = used.clone();
    let result = DECODER.with_borrow_mut(|decoder| decoder.decode(stream, (rows, columns), &mut used));
    assert_eq!(
        result,
        Decoder::default().decode(stream, (rows, columns), &mut fresh)
    );
    assert!(result.is_err() || used == fresh);
});
