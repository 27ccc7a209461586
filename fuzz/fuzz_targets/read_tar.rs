//! Any bytes as a tar file, plain or packed: no panic, no crash; an index and a pass give the same members.

#![no_main]

use ctprune_containers::open::Container;
use ctprune_containers::pass::{Item, ItemContent, Pass, Want};
use ctprune_containers::{Content, Kind};
use ctprune_dicom::slice::ReadOptions;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let options = ReadOptions {
        max_slice_bytes: 1 << 20,
        ..ReadOptions::default()
    };
    let Ok(container) = Container::of_memory(data.to_vec(), "fuzz") else {
        return;
    };
    if container.kind() == Kind::Zip {
        return;
    }
    let container = Arc::new(container);
    let index = container.index();
    // What is packed may be more than is to be held.
    let items = pass(&container, &options, index.is_some());
    let Some(index) = index else {
        return;
    };
    let mut buffer = Vec::new();
    for member in index.members() {
        let Ok(content) = container.read(member, &options, &mut buffer) else {
            continue;
        };
        assert!(matches!(content, Content::Buffered));
        let item = items.iter().find(|item| item.name == member.name);
        match item.map(|item| &item.content) {
            Some(ItemContent::Bytes(held)) => assert_eq!(held[..], buffer[..]),
            other => panic!("{}: {other:?} in a pass", member.name),
        }
    }
});

fn pass(container: &Arc<Container>, options: &ReadOptions, hold: bool) -> Vec<Item> {
    let mut pass = Pass::start(Arc::clone(container), options.clone(), |_, _| Want::Read);
    let mut items = Vec::new();
    loop {
        let batch = pass.next_batch(Duration::from_secs(60), 64);
        for item in batch.items {
            assert!(!item.name.is_empty() && !item.name.split('/').any(|part| part == ".."));
            items.extend(hold.then_some(item));
        }
        if batch.end.is_some() {
            return items;
        }
    }
}
