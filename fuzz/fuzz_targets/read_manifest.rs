//! Any bytes to the reader of manifests, sealed as if they were as they were written: rows or one sentence.
//!
//! Without the seal nothing but the comparison of a checksum would be tried. It is put where the footer begins.

#![no_main]

use ctprune_archive::archive::Archive;
use ctprune_archive::fingerprint_file::Settings;
use ctprune_archive::methods::DEFAULT_FINGERPRINT;
use ctprune_archive::rows::manifest_reader::{ManifestReader, metadata_of};
use ctprune_core::intensity::Intensity;
use ctprune_core::resample::PassOrder;
use ctprune_dicom::slice::ReadOptions;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use std::backtrace::Backtrace;
use std::fs;
use std::panic::{PanicHookInfo, set_hook};
use std::path::PathBuf;
use std::process::abort;
use std::sync::LazyLock;

/// In memory where the system has such a folder.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    folder.join(format!("ctprune-fuzz-{}.parquet", std::process::id()))
});

fuzz_target!(init: set_hook(Box::new(end_at_our_panics)), |bytes: &[u8]| {
    fs::write(&*FILE, sealed(bytes)).expect("the disk has room");
    let _ = metadata_of(&FILE);
    let Ok(reader) = ManifestReader::open(&FILE) else {
        return;
    };
    let rows = reader.rows();
    for names in [None, Some(["path".to_owned(), "status".to_owned()])] {
        let Ok(batches) = reader.batches(names.as_ref().map(|names| &names[..]), 100) else {
            continue;
        };
        let mut archive = archive();
        let mut found = 0;
        for batch in batches {
            let Ok(batch) = batch else { break };
            found += batch.num_rows();
            assert!(found <= rows, "{found} rows of {rows}");
            // What a run takes over from an earlier one.
            let _ = archive.add_earlier(&batch);
        }
    }
});

/// The reader contains panics of the crate that decodes Parquet; libFuzzer's own hook would end the process at them. Any
/// panic that leaves the reader still does.
fn end_at_our_panics(panic: &PanicHookInfo<'_>) {
    if panic
        .location()
        .is_none_or(|place| place.file().contains("ctprune") || place.file().starts_with("fuzz_targets"))
    {
        eprintln!("{panic}\n{}", Backtrace::force_capture());
        abort();
    }
}

fn archive() -> Archive {
    let settings = Settings {
        fingerprint: DEFAULT_FINGERPRINT,
        hash_size: 8,
        intensity: Intensity::parse("minmax").expect("is known"),
        pass_order: PassOrder::ByShape,
        read: ReadOptions::default(),
    };
    Archive::new(settings, 1, 1).expect("the settings are sound")
}

/// The bytes with a seal before what claims to be the footer, as `rows/seal.rs` writes it.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let footer = bytes.len().checked_sub(8).and_then(|start| {
        let length = u32::from_le_bytes(bytes[start..start + 4].try_into().ok()?) as usize;
        start.checked_sub(length)
    });
    let Some(footer) = footer else {
        return bytes.to_vec();
    };
    let seal = Sha256::digest(bytes);
    [&bytes[..footer], b"ctprune sha-256:", &seal[..], &bytes[footer..]].concat()
}
