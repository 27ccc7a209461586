//! Any bytes as a zip file, and as what stands in one: no panic, no crash, no more memory than was announced.

#![no_main]

use ctprune_containers::Content;
use ctprune_containers::open::Container;
use ctprune_dicom::slice::ReadOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let options = ReadOptions {
        max_slice_bytes: 1 << 20,
        ..ReadOptions::default()
    };
    let Ok(container) = Container::of_memory(data.to_vec(), "fuzz.zip") else {
        return;
    };
    let Some(index) = container.index() else {
        return;
    };
    let mut buffer = Vec::new();
    for member in index.members() {
        assert!(!member.name.is_empty() && !member.name.split('/').any(|part| part == ".."));
        match container.read(member, &options, &mut buffer) {
            Ok(Content::Buffered) => assert_eq!(buffer.len() as u64, member.size),
            Ok(Content::Apart(part)) => assert_eq!(part.len(), member.size),
            Err(_) => {}
        }
        if member.extent.is_ok() {
            assert_eq!(index.find(&member.name).map(|found| found.size), Some(member.size));
            let _ = container.read_head(member, &mut [0; 4096]);
        }
    }
});
