//! Any bytes to the PNG, JPEG and TIFF readers: a slice or a refusal, never a crash.

#![no_main]

use std::cell::RefCell;

use ctprune_dicom::image::{self, Buffers};
use ctprune_dicom::slice::{Event, ReadOptions};
use libfuzzer_sys::fuzz_target;

thread_local! {
    /// Kept from input to input, as a run keeps them from file to file.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions {
        max_slice_bytes: 1 << 22,
        ..ReadOptions::default()
    };
    BUFFERS.with_borrow_mut(|buffers| {
        image::read_bytes(bytes, &options, buffers, &mut |event| {
            if let Event::Slice { pixels, .. } = event {
                assert_eq!(pixels.stored.len(), pixels.rows * pixels.columns);
            }
        });
    });
});
