//! Any bytes to the NIfTI reader: slices or a refusal, never a crash.

#![no_main]

use std::cell::RefCell;

use ctprune_dicom::nifti::{self, Buffers};
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
    let head = &bytes[..bytes.len().min(nifti::HEAD_BYTES)];
    nifti::looks_like_gzipped_nifti(head);
    BUFFERS.with_borrow_mut(|buffers| {
        nifti::read_bytes(bytes, &options, buffers, &mut |event| {
            if let Event::Slice { pixels, .. } = event {
                assert_eq!(pixels.stored.len(), pixels.rows * pixels.columns);
            }
        });
    });
});
