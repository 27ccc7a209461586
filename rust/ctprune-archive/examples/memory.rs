//! Memory per slice of a large archive, as rows without pixels. In a folder of its own:
//!
//! ```text
//! cargo run --release -p ctprune-archive --example memory -- 10000000 write manifest.parquet
//! cargo run --release -p ctprune-archive --example memory -- 10000000 again manifest.parquet
//! ```
//!
//! `write` fills the tables with made-up rows as a walk over real files would, groups, selects and writes a manifest.
//! `again` is the next run: it reads that manifest, finds every file unchanged, groups, selects and writes. Both print
//! the peak of the process in bytes per slice. Needs Linux for the peak.

use ctprune_archive::archive::{Archive, Wish};
use ctprune_archive::discover::files::Stamp;
use ctprune_archive::discover::walk::Found;
use ctprune_archive::fingerprint_file::Settings;
use ctprune_archive::methods::{DEFAULT_FINGERPRINT, Request, Share};
use ctprune_archive::rows::manifest_reader::ManifestReader;
use ctprune_archive::rows::manifest_writer::{ManifestWriter, ROWS_PER_GROUP};
use ctprune_archive::rows::row::{Fingerprinted, NewRow, Reader};
use ctprune_archive::rows::schema::MANIFEST_VERSION;
use ctprune_archive::volumes::order::Order;
use ctprune_core::intensity::{Intensity, Shares};
use ctprune_core::resample::PassOrder;
use ctprune_core::watch::Watch;
use ctprune_dicom::slice::{ReadOptions, SliceInfo};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Slices in a volume.
const SLICES: usize = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, step, file] = &arguments[..] else {
        return Err("expected a number of slices, 'write' or 'again', and the manifest's file".into());
    };
    let (count, file) = (count.parse::<usize>()?, PathBuf::from(file));
    let settings = Settings {
        fingerprint: DEFAULT_FINGERPRINT,
        hash_size: 8,
        intensity: Intensity::parse("minmax")?,
        pass_order: PassOrder::ByShape,
        read: ReadOptions::default(),
    };
    let mut archive = Archive::new(settings, 0, 0)?;
    let start = Instant::now();
    match step.as_str() {
        "write" => fill(&mut archive, count)?,
        "again" => take_over(&mut archive, count, &file)?,
        other => return Err(format!("expected 'write' or 'again', found {other:?}").into()),
    }
    report("rows", start, count);
    archive.group(Order::Position, None);
    report("volumes", start, count);
    let request = Request {
        method: "hash".into(),
        threshold: Some(6.0),
        share: Share::default(),
        n: 1,
        seed: 0,
        clusters: None,
        window: String::new(),
        max_gap_mm: None,
    };
    let choice = archive.choose(
        &request,
        Wish::default(),
        &|_, _| Ok(Vec::new()),
        None,
        &Watch::default(),
    )?;
    archive.set_choice(choice, false);
    report("selection", start, count);
    write(&archive, &file.with_extension(format!("{step}.parquet")))?;
    if step == "write" {
        std::fs::rename(file.with_extension("write.parquet"), &file)?;
    }
    report("manifest", start, count);
    println!(
        "{} slices, {} volumes",
        archive.manifest_rows(),
        archive.volumes().len()
    );
    Ok(())
}

/// What it took until a step ended.
fn report(step: &str, start: Instant, count: usize) {
    let seconds = start.elapsed().as_secs_f64();
    match peak_bytes() {
        Some(peak) => {
            let (gib, each) = (peak as f64 / (1u64 << 30) as f64, peak / count as u64);
            println!("{step}: {seconds:.1} s, peak {gib:.2} GiB, {each} bytes per slice");
        }
        None => println!("{step}: {seconds:.1} s; the peak is only known on Linux"),
    }
}

/// Made-up rows.
fn fill(archive: &mut Archive, count: usize) -> Result<(), Box<dyn Error>> {
    let (files, table) = archive.parts_mut();
    let source = files.source(PathBuf::from("/archive"));
    for slice in 0..count {
        let folder = files.folder(source, &folder_of(slice));
        let file = files.push(folder, &name_of(slice), stamp_of(slice));
        let content = Fingerprinted {
            fingerprint: vec![hash(slice)],
            min_hu: -1024.0,
            max_hu: 3071.0,
            shares: Shares::stored([1.0 / 13.0; 13]),
        };
        table.push(NewRow {
            file,
            reader: Reader::Dicom,
            info: slice_info(slice),
            content: Ok(content),
        })?;
    }
    Ok(())
}

/// The rows of an earlier manifest, and its files found again.
fn take_over(archive: &mut Archive, count: usize, file: &Path) -> Result<(), Box<dyn Error>> {
    archive.begin_earlier();
    for batch in ManifestReader::open(file)?.batches(None, ROWS_PER_GROUP)? {
        archive.add_earlier(&batch?)?;
    }
    let source = archive.parts_mut().0.source(PathBuf::from("/archive"));
    for slice in 0..count {
        let folder = archive.parts_mut().0.folder(source, &folder_of(slice));
        archive.note(Found::File {
            folder,
            name: &name_of(slice),
            stamp: stamp_of(slice),
        })?;
    }
    archive.finish_discovery();
    assert_eq!(archive.progress().files_reused, count as u64);
    Ok(())
}

fn write(archive: &Archive, file: &Path) -> Result<(), Box<dyn Error>> {
    let about = format!(r#"{{"manifest_version": {MANIFEST_VERSION}, "config": {{"hash_size": 8}}}}"#);
    let mut writer = ManifestWriter::create(file, archive.fingerprint_bytes(), &about)?;
    let (mut start, stop) = (0, archive.manifest_rows());
    while start < stop {
        let batch = archive.batch(start..stop.min(start + ROWS_PER_GROUP));
        writer.write(&batch)?;
        start += batch.num_rows();
    }
    Ok(writer.finish()?)
}

fn folder_of(slice: usize) -> String {
    format!("LIDC-IDRI-{:07}/series-1", slice / SLICES)
}

fn name_of(slice: usize) -> String {
    format!("1-{:03}.dcm", slice % SLICES)
}

fn stamp_of(slice: usize) -> Stamp {
    Stamp {
        size: 526_000,
        version: slice as i64,
    }
}

fn slice_info(slice: usize) -> SliceInfo {
    let uid = |kind: u32, number: usize| format!("1.3.6.1.4.1.14519.5.2.1.6279.6001.{kind}{number:026}");
    SliceInfo {
        study_instance_uid: uid(1, slice / SLICES),
        series_instance_uid: uid(2, slice / SLICES),
        // Of the same beginning as the others of its series, and digits of its own, as many archives have them.
        sop_instance_uid: format!("1.3.6.1.4.1.14519.5.2.1.6279.6001.3{:026}", digits(slice)),
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

/// 26 digits that look random.
fn digits(slice: usize) -> u128 {
    (slice as u128).wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645) % 10u128.pow(26)
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
