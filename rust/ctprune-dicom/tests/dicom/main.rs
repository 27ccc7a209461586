//! DICOM files from bytes to events. All files are synthetic and made here.

mod build;
mod charls;
mod encapsulated;
mod headers;
mod jpeg;
mod jpeg_encoder;
mod malformed;
mod multi_frame;
mod skipped;
mod uncompressed;

use ctprune_core::pixels::{Scale, Stored};
use ctprune_dicom::dicom::{Buffers, read_bytes};
use ctprune_dicom::slice::{Event, ReadOptions, Refusal, SliceInfo};

/// One event, owned.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Slice(SliceInfo, Vec<f64>),
    Header(SliceInfo),
    Refused(Option<SliceInfo>, Refusal),
}

/// All events of a file, with stored values turned to Hounsfield units.
fn events_with(file: &[u8], options: &ReadOptions) -> Vec<Seen> {
    let mut seen = Vec::new();
    read_bytes(file, options, &mut Buffers::default(), &mut |event| {
        seen.push(owned(event))
    });
    seen
}

fn events(file: &[u8]) -> Vec<Seen> {
    events_with(file, &ReadOptions::default())
}

fn owned(event: Event<'_>) -> Seen {
    match event {
        Event::Slice { info, pixels } => {
            assert_eq!(pixels.stored.len(), pixels.rows * pixels.columns);
            assert_eq!(
                (info.rows as usize, info.columns as usize),
                (pixels.rows, pixels.columns)
            );
            let Scale::Hounsfield { slope, intercept } = pixels.scale else {
                panic!("DICOM has Hounsfield units")
            };
            let values = stored_values(pixels.stored)
                .into_iter()
                .map(|v| v * slope + intercept);
            Seen::Slice(info.clone(), values.collect())
        }
        Event::Header { info } => Seen::Header(info.clone()),
        Event::Refused { info, refusal } => Seen::Refused(info.cloned(), refusal),
    }
}

fn stored_values(stored: Stored<'_>) -> Vec<f64> {
    match stored {
        Stored::U8(s) => s.iter().map(|&v| v.into()).collect(),
        Stored::I8(s) => s.iter().map(|&v| v.into()).collect(),
        Stored::U16(s) => s.iter().map(|&v| v.into()).collect(),
        Stored::I16(s) => s.iter().map(|&v| v.into()).collect(),
        Stored::U32(s) => s.iter().map(|&v| v.into()).collect(),
        Stored::I32(s) => s.iter().map(|&v| v.into()).collect(),
        Stored::F32(s) => s.iter().map(|&v| v.into()).collect(),
        Stored::F64(s) => s.to_vec(),
    }
}

/// The Hounsfield units of a file of one slice.
fn hu(file: &[u8]) -> Vec<f64> {
    match events(file).as_slice() {
        [Seen::Slice(_, values)] => values.clone(),
        other => panic!("one slice was expected, seen: {other:?}"),
    }
}

/// The description of a file of one slice.
fn info(file: &[u8]) -> SliceInfo {
    match events(file).as_slice() {
        [Seen::Slice(info, _)] => info.clone(),
        other => panic!("one slice was expected, seen: {other:?}"),
    }
}

/// The reason why a file gives no slice: `skipped: …` or `failed: …`.
fn refusal(file: &[u8]) -> String {
    match events(file).as_slice() {
        [Seen::Refused(_, Refusal::Skipped(reason))] => format!("skipped: {reason}"),
        [Seen::Refused(_, Refusal::Unsupported(reason))] => format!("unsupported: {reason}"),
        [Seen::Refused(_, Refusal::Failed(reason))] => format!("failed: {reason}"),
        other => panic!("one refusal was expected, seen: {other:?}"),
    }
}

/// Hounsfield units of [`build::PIXELS`].
const HU: [f64; 6] = [-1024.0, -1022.0, -1020.0, -1026.0, -24.0, 976.0];
