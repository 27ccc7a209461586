//! What a reader reported, owned, so that tests can compare it.

use ctprune_core::pixels::{Scale, Stored};
use ctprune_dicom::slice::{Event, ReadOptions, Refusal, SliceInfo};
use ctprune_dicom::{image, nifti};

/// One event; values of every type as `f64`, which holds them exactly.
#[derive(Debug, PartialEq)]
pub enum Seen {
    Slice {
        info: Box<SliceInfo>,
        stored: &'static str,
        values: Vec<f64>,
        scale: Scale,
    },
    Header(Box<SliceInfo>),
    Skipped(String),
    Failed(String),
}

impl Seen {
    /// The values of an 8-bit gray slice with its rows and columns.
    pub fn gray(&self) -> (u32, u32, Vec<u8>) {
        match self {
            Seen::Slice {
                info,
                stored: "u8",
                values,
                scale: Scale::Gray8,
            } => (
                info.rows,
                info.columns,
                values.iter().map(|&value| value as u8).collect(),
            ),
            other => panic!("expected an 8-bit gray slice, found {other:?}"),
        }
    }

    /// The type and the values of a slice that keeps its stored values.
    pub fn stored(&self) -> (&'static str, &[f64]) {
        match self {
            Seen::Slice {
                stored,
                values,
                scale: Scale::Hounsfield { .. },
                ..
            } => (stored, values),
            other => panic!("expected a slice of stored values, found {other:?}"),
        }
    }

    pub fn info(&self) -> &SliceInfo {
        match self {
            Seen::Slice { info, .. } => info,
            other => panic!("expected a slice, found {other:?}"),
        }
    }

    /// Asserts a failure whose sentence contains `words`.
    pub fn assert_failed(&self, words: &str) {
        assert!(
            matches!(self, Seen::Failed(why) if why.contains(words)),
            "expected {words:?}, found {self:?}"
        );
    }
}

/// A limit that no test file needs, but that a lying header exceeds.
pub fn options() -> ReadOptions {
    ReadOptions {
        max_slice_bytes: 1 << 20,
        ..ReadOptions::default()
    }
}

pub fn read_image(bytes: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    // Buffers that held another picture before, as in a run.
    let mut buffers = image::Buffers::default();
    image::read_bytes(&crate::png::white(40, 40), &options(), &mut buffers, &mut |_| ());
    image::read_bytes(bytes, &options(), &mut buffers, &mut |event| {
        seen.push(own(event))
    });
    seen
}

/// The only event of a picture file.
pub fn read_picture(bytes: &[u8]) -> Seen {
    let mut seen = read_image(bytes);
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

pub fn read_nifti(bytes: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut buffers = nifti::Buffers::default();
    nifti::read_bytes(bytes, &options(), &mut buffers, &mut |event| {
        seen.push(own(event))
    });
    seen
}

/// The event, owned.
pub fn own(event: Event<'_>) -> Seen {
    match event {
        Event::Slice { info, pixels } => {
            assert_eq!(
                (info.rows as usize, info.columns as usize),
                (pixels.rows, pixels.columns)
            );
            assert_eq!(pixels.stored.len(), pixels.rows * pixels.columns);
            let (stored, values) = values(pixels.stored);
            Seen::Slice {
                info: Box::new(info.clone()),
                stored,
                values,
                scale: pixels.scale,
            }
        }
        Event::Header { info } => Seen::Header(Box::new(info.clone())),
        Event::Refused {
            refusal: Refusal::Skipped(why),
            ..
        } => Seen::Skipped(why.to_string()),
        Event::Refused { refusal, .. } => Seen::Failed(refusal.to_string()),
    }
}

fn values(stored: Stored<'_>) -> (&'static str, Vec<f64>) {
    fn wide<T: Copy + Into<f64>>(samples: &[T]) -> Vec<f64> {
        samples.iter().map(|&sample| sample.into()).collect()
    }
    match stored {
        Stored::U8(s) => ("u8", wide(s)),
        Stored::I8(s) => ("i8", wide(s)),
        Stored::U16(s) => ("u16", wide(s)),
        Stored::I16(s) => ("i16", wide(s)),
        Stored::U32(s) => ("u32", wide(s)),
        Stored::I32(s) => ("i32", wide(s)),
        Stored::F32(s) => ("f32", wide(s)),
        Stored::F64(s) => ("f64", s.to_vec()),
    }
}
