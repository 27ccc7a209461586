//! One slice or refused file: before it is in the table, and in it.

use crate::discover::files::FileId;
use ctprune_core::intensity::Shares;
use ctprune_dicom::slice::{Refusal, SliceInfo};

/// Which code read the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Reader {
    /// Nothing did.
    #[default]
    None,
    /// Our DICOM reader.
    Dicom,
    /// pydicom, after our reader refused.
    Pydicom,
    /// Our NIfTI reader.
    Nifti,
    /// Our PNG, JPEG and TIFF readers.
    Image,
}

/// Reader by the name that stands in the manifest.
const READERS: [(Reader, &str); 5] = [
    (Reader::None, ""),
    (Reader::Dicom, "dicom"),
    (Reader::Pydicom, "pydicom"),
    (Reader::Nifti, "nifti"),
    (Reader::Image, "image"),
];

impl Reader {
    /// The name in the manifest, empty for none.
    pub fn name(self) -> &'static str {
        READERS[self as usize].1
    }

    /// The reader with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        READERS
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(reader, _)| *reader)
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// A slice with a fingerprint.
    Slice,
    /// Understood, but not asked for.
    Skipped,
    /// Of a kind that our readers do not know: another reader may try.
    Unsupported,
    /// A slice with a fingerprint that a gate leaves out.
    Gated,
    /// Could not be read.
    Failed,
    /// Belongs to a file that changed or vanished; no longer part of the table.
    Stale,
}

/// Stands for an integer that the file does not give.
pub(super) const NO_NUMBER: i32 = i32::MIN;

/// A slice or a refusal.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its file.
    pub file: FileId,
    /// Frame within the file.
    pub frame: u32,
    /// Image Position (Patient) in mm; the first is NaN when there is none.
    pub(super) position: [f64; 3],
    pub(super) acquisition_number: i32,
    pub(super) instance_number: i32,
    /// Smallest value of the slice in HU (gray value for 8-bit images).
    pub min_hu: f32,
    /// Largest value of the slice in HU (gray value for 8-bit images).
    pub max_hu: f32,
    pub(super) series: u32,
    pub(super) shape: u32,
    pub(super) reason: u32,
    /// What became of it.
    pub state: State,
    /// Who read it.
    pub reader: Reader,
}

impl Row {
    /// Image Position (Patient) in mm.
    pub fn position(&self) -> Option<[f64; 3]> {
        (!self.position[0].is_nan()).then_some(self.position)
    }

    /// Acquisition Number.
    pub fn acquisition_number(&self) -> Option<i32> {
        (self.acquisition_number != NO_NUMBER).then_some(self.acquisition_number)
    }

    /// Instance Number.
    pub fn instance_number(&self) -> Option<i32> {
        (self.instance_number != NO_NUMBER).then_some(self.instance_number)
    }
}

/// A row before it is in the table.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// Its file.
    pub file: FileId,
    /// Who read it.
    pub reader: Reader,
    /// What is known of it.
    pub info: SliceInfo,
    /// Fingerprint and range, or why there is none.
    pub content: Result<Fingerprinted, Refusal>,
}

/// What reading the pixels of a slice gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fingerprinted {
    /// The fingerprint's words.
    pub fingerprint: Vec<u64>,
    /// Smallest value in HU.
    pub min_hu: f32,
    /// Largest value in HU.
    pub max_hu: f32,
    /// Where its Hounsfield units lie.
    pub shares: Option<Shares>,
}

impl Fingerprinted {
    /// What is known of a slice whose pixels were not read: nothing.
    pub fn without_pixels(words: usize) -> Self {
        Self {
            fingerprint: vec![0; words],
            min_hu: f32::NAN,
            max_hu: f32::NAN,
            shares: None,
        }
    }
}
