//! Memory per slice of a large archive: `cargo run --release -p ctprune-archive --example memory -- 10000000`.
//!
//! Fills the tables with made-up rows as a walk over real files would, groups and selects, and prints the peak of
//! the process in bytes per slice. Needs Linux for the peak.

use ctprune_archive::files::{Files, Stamp};
use ctprune_archive::method::{Request, Slices};
use ctprune_archive::table::{Content, NewRow, Reader, Table};
use ctprune_archive::volume::{self, Order};
use ctprune_core::hamming::Fingerprints;
use ctprune_dicom::slice::SliceInfo;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Slices in a volume.
const SLICES: usize = 400;

fn main() {
    let count: usize = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let (mut files, mut table) = (Files::default(), Table::new(1));
    let source = files.source(PathBuf::from("/archive"));
    for slice in 0..count {
        let info = slice_info(slice);
        let folder = files.folder(source, &format!("LIDC-IDRI-{:07}/series-1", slice / SLICES));
        let stamp = Stamp {
            size: 526_000,
            mtime_ns: slice as i64,
        };
        let file = files.push(folder, &format!("1-{:03}.dcm", slice % SLICES), stamp);
        let content = Content {
            fingerprint: vec![hash(slice)],
            min_hu: -1024.0,
            max_hu: 3071.0,
        };
        table
            .push(NewRow {
                file,
                reader: Reader::Dicom,
                info,
                content: Ok(content),
            })
            .expect("fewer rows than the limit");
    }
    let volumes = volume::group(&table, &files, Order::Position, None);
    let hashes: Vec<u64> = volumes
        .order
        .iter()
        .flat_map(|&row| table.fingerprint(row))
        .copied()
        .collect();
    let request = Request {
        method: "hash".into(),
        threshold: 6,
        keep: None,
        n: 1,
        seed: 0,
    };
    let slices = Slices {
        fingerprints: Fingerprints::new(1, &hashes).expect("one word each"),
        groups: &volumes.starts,
    };
    let choice = request
        .method()
        .expect("hash is a method")
        .select(slices, &mut |_| ControlFlow::Continue(()))
        .expect("nothing stops it");
    println!(
        "{count} slices, {} volumes, {} kept",
        volumes.len(),
        choice.selection.kept()
    );
    match peak_bytes() {
        Some(peak) => println!(
            "peak {:.2} GiB, {} bytes per slice",
            peak as f64 / (1u64 << 30) as f64,
            peak / count as u64
        ),
        None => println!("the peak is only known on Linux"),
    }
}

fn slice_info(slice: usize) -> SliceInfo {
    let uid = |kind: u32, number: usize| format!("1.3.6.1.4.1.14519.5.2.1.6279.6001.{kind}{number:026}");
    SliceInfo {
        study_instance_uid: uid(1, slice / SLICES),
        series_instance_uid: uid(2, slice / SLICES),
        sop_instance_uid: uid(3, slice),
        modality: "CT".into(),
        transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
        rows: 512,
        columns: 512,
        pixel_spacing_mm: Some([0.7, 0.7]),
        image_position_patient: Some([-180.0, -170.0, (slice % SLICES) as f64 * 1.25]),
        image_orientation_patient: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        instance_number: Some((slice % SLICES) as i64),
        slice_thickness_mm: Some(1.25),
        manufacturer: "Scanner".into(),
        ..SliceInfo::default()
    }
}

/// Fingerprints that change slowly along a volume.
fn hash(slice: usize) -> u64 {
    let volume = (slice / SLICES) as u64;
    volume.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((1u64 << (slice % SLICES / 8 % 64)) - 1)
}

fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}
