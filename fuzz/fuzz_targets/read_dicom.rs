//! Any bytes as a DICOM file: no panic, no crash, at least one event, pixels as many as declared.

#![no_main]

use ctprune_dicom::dicom::{Buffers, read_bytes};
use ctprune_dicom::slice::{Event, ReadOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let options = ReadOptions {
        modality: "any".into(),
        max_slice_bytes: 1 << 24,
        ..ReadOptions::default()
    };
    let mut events = 0;
    read_bytes(data, &options, &mut Buffers::default(), &mut |event| {
        events += 1;
        if let Event::Slice { info, pixels } = event {
            assert_eq!(pixels.stored.len(), pixels.rows * pixels.columns);
            assert_eq!(
                (info.rows as usize, info.columns as usize),
                (pixels.rows, pixels.columns)
            );
        }
    });
    assert!(events > 0);
});
