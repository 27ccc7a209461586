//! What every reader hands over: a slice with its description, or the reason why there is none.

use std::borrow::Cow;
use std::fmt;

use ctprune_core::pixels::SlicePixels;

use crate::code::{Code, Reason};
use crate::error::ReadError;

/// Limits and wishes that hold for every file of a run.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The Modality to read (`CT`); DICOM files of another one are skipped.
    pub modality: String,
    /// No slice may need more than this many bytes of decoded pixels.
    pub max_slice_bytes: u64,
    /// Threads wait for each other with slices of more than 64 MiB, so that memory does not grow with their
    /// number. Not where what is done with a slice waits for other threads.
    pub take_turns: bool,
    /// DICOM and NIfTI are read up to their pixels; pictures, whose headers say nothing of the patient, whole.
    pub headers_only: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            modality: "CT".into(),
            max_slice_bytes: 512 << 20,
            take_turns: false,
            headers_only: false,
        }
    }
}

/// Description of one slice, in DICOM's words; what a format does not know is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SliceInfo {
    /// Zero-based frame of a multi-frame object, slice of a NIfTI file or page of a TIFF.
    pub frame: u32,
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Modality (0008,0060).
    pub modality: String,
    /// Transfer Syntax UID for DICOM, else empty.
    pub transfer_syntax_uid: String,
    /// Rows, 0 when unknown.
    pub rows: u32,
    /// Columns, 0 when unknown.
    pub columns: u32,
    /// Pixel Spacing in mm: between rows, between columns.
    pub pixel_spacing_mm: Option<[f64; 2]>,
    /// Image Position (Patient) in mm.
    pub image_position_patient: Option<[f64; 3]>,
    /// Image Orientation (Patient): direction cosines of a row, then of a column.
    pub image_orientation_patient: Option<[f64; 6]>,
    /// Acquisition Number.
    pub acquisition_number: Option<i64>,
    /// Instance Number.
    pub instance_number: Option<i64>,
    /// Slice Thickness in mm.
    pub slice_thickness_mm: Option<f64>,
    /// Manufacturer.
    pub manufacturer: String,
    /// Manufacturer's Model Name.
    pub manufacturer_model_name: String,
    /// Convolution Kernel.
    pub convolution_kernel: String,
    /// Image Type, or Frame Type of one frame: values between backslashes.
    pub image_type: String,
    /// Frame of Reference UID.
    pub frame_of_reference_uid: String,
    /// Bits Stored.
    pub bits_stored: Option<u32>,
    /// Rescale Slope, where the file gives a finite one.
    pub rescale_slope: Option<f64>,
    /// Rescale Intercept, where the file gives a finite one.
    pub rescale_intercept: Option<f64>,
    /// Lossy Image Compression: `00` or `01`.
    pub lossy_image_compression: String,
    /// Burned In Annotation: `YES` or `NO`.
    pub burned_in_annotation: String,
    /// Eight bits of a hash of Patient ID and Study Instance UID: different ones in a study are different patients, and
    /// no ID can be found from them.
    pub patient_check: Option<u8>,
    /// Pixel padding as an inclusive range of stored values (Pixel Padding Value, Range Limit).
    pub pixel_padding: Option<[f64; 2]>,
}

/// Why a file or a frame gives no slice.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Read and understood, but not a slice that was asked for.
    Skipped(Reason),
    /// Well-formed as far as it was read, but of a kind that is not implemented here, which the text names:
    /// another reader may try.
    Unsupported(Reason),
    /// Could not be read. No other reader may guess at it.
    Failed(ReadError),
}

impl Refusal {
    /// Something that was left out, in a few words.
    pub fn skipped(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Refusal::Skipped(Reason::new(code, text))
    }

    /// A kind that is not implemented here, in a few words.
    pub fn unsupported(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Refusal::Unsupported(Reason::new(code, text))
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Refusal::Skipped(reason) | Refusal::Unsupported(reason) => reason.code,
            Refusal::Failed(error) => error.code(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Skipped(reason) | Refusal::Unsupported(reason) => reason.fmt(f),
            Refusal::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Refusal::Failed(error)
    }
}

/// What a reader reports, one call per slice or refusal.
pub enum Event<'a> {
    /// A slice; the pixels are borrowed from the reader's buffers for the length of the call.
    Slice {
        /// Its description.
        info: &'a SliceInfo,
        /// Its pixels.
        pixels: SlicePixels<'a>,
    },
    /// A slice by its header, where the options ask for no more.
    Header {
        /// Its description.
        info: &'a SliceInfo,
    },
    /// No slice. `info` is what was understood before the refusal, if anything.
    Refused {
        /// The description as far as it was read.
        info: Option<&'a SliceInfo>,
        /// Why.
        refusal: Refusal,
    },
}
