//! The attributes of a data set that a slice needs, gathered in one pass up to the pixel data.

use std::ops::Range;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::element::{Element, Encoding, Reader, UNDEFINED};
use super::value::{decimal, decimals, integer, set_text, set_uid, trimmed, unsigned};
use crate::error::DataSetError;
use crate::slice::SliceInfo;
use crate::text::{patient_check, patient_hash};

/// Which element holds the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PixelKind {
    /// Pixel Data.
    Integer,
    /// Float Pixel Data: 32-bit.
    Float,
    /// Double Float Pixel Data: 64-bit.
    Double,
}

/// The element with the pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PixelElement {
    pub kind: PixelKind,
    /// Offset of the value in the data set's bytes.
    pub value: usize,
    /// Length, or `None` for encapsulated (undefined length).
    pub length: Option<u32>,
}

/// A number that may be missing or not a number at all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Number {
    /// No element, or an empty one.
    #[default]
    Absent,
    /// Its value; finite or not.
    Value(f64),
    /// Text that is no number.
    Unreadable,
}

impl Number {
    fn finite(self) -> Option<f64> {
        match self {
            Number::Value(value) if value.is_finite() => Some(value),
            _ => None,
        }
    }

    fn of(value: &[u8]) -> Self {
        match decimal(value) {
            Some(number) => Number::Value(number),
            None if super::value::trimmed(value).is_empty() => Number::Absent,
            None => Number::Unreadable,
        }
    }
}

/// Attributes that can differ between the frames of one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrameAttributes {
    pub rescale_slope: Number,
    pub rescale_intercept: Number,
}

/// What one pass over a data set finds. It is reused from file to file, so that its texts need no
/// allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub info: SliceInfo,
    pub frame: FrameAttributes,
    pub sop_class_uid: String,
    pub photometric_interpretation: String,
    pub samples_per_pixel: Option<u32>,
    pub number_of_frames: Option<i64>,
    pub bits_allocated: Option<u32>,
    pub high_bit: Option<u32>,
    pub pixel_representation: Option<u32>,
    /// There is a Directory Record Sequence: a DICOMDIR, whatever its class says.
    pub is_directory: bool,
    pub has_modality_lut: bool,
    /// Shared and Per-frame Functional Groups Sequences.
    pub shared_groups: Option<Element>,
    pub per_frame_groups: Option<Element>,
    /// Value of the Extended Offset Table.
    pub extended_offsets: Option<Range<usize>>,
    pub pixels: Option<PixelElement>,
    /// Raw values: their signedness is known only with Pixel Representation.
    padding_value: Option<u32>,
    padding_limit: Option<u32>,
    /// Of the Patient ID, which itself is not kept.
    patient_hash: Option<u64>,
}

impl Header {
    /// Forgets the last file but keeps the memory of its texts.
    pub fn clear(&mut self) {
        let mut info = std::mem::take(&mut self.info);
        let mut sop_class_uid = std::mem::take(&mut self.sop_class_uid);
        let mut photometric = std::mem::take(&mut self.photometric_interpretation);
        let texts = [
            &mut info.study_instance_uid,
            &mut info.series_instance_uid,
            &mut info.sop_instance_uid,
            &mut info.modality,
            &mut info.transfer_syntax_uid,
            &mut info.manufacturer,
            &mut info.manufacturer_model_name,
            &mut info.convolution_kernel,
            &mut info.image_type,
            &mut info.frame_of_reference_uid,
            &mut info.lossy_image_compression,
            &mut info.burned_in_annotation,
            &mut sop_class_uid,
            &mut photometric,
        ];
        texts.into_iter().for_each(String::clear);
        *self = Header {
            info: SliceInfo {
                study_instance_uid: info.study_instance_uid,
                series_instance_uid: info.series_instance_uid,
                sop_instance_uid: info.sop_instance_uid,
                modality: info.modality,
                transfer_syntax_uid: info.transfer_syntax_uid,
                manufacturer: info.manufacturer,
                manufacturer_model_name: info.manufacturer_model_name,
                convolution_kernel: info.convolution_kernel,
                image_type: info.image_type,
                frame_of_reference_uid: info.frame_of_reference_uid,
                lossy_image_compression: info.lossy_image_compression,
                burned_in_annotation: info.burned_in_annotation,
                ..SliceInfo::default()
            },
            sop_class_uid,
            photometric_interpretation: photometric,
            ..Header::default()
        };
    }

    /// Reads the elements from `reader`'s position up to the pixel data or the end. What was found before
    /// an error stays.
    pub fn scan(&mut self, mut reader: Reader<'_>) -> Result<(), DataSetError> {
        let result = self.scan_elements(&mut reader);
        self.info.pixel_padding = self.pixel_padding();
        let study = self.info.study_instance_uid.as_str();
        self.info.patient_check = self.patient_hash.map(|hash| patient_check(hash, study));
        result
    }

    fn scan_elements(&mut self, reader: &mut Reader<'_>) -> Result<(), DataSetError> {
        while let Some(element) = reader.element() {
            if let Some(kind) = pixel_kind(element.tag) {
                let length = (element.length != UNDEFINED).then_some(element.length);
                self.pixels = Some(PixelElement {
                    kind,
                    value: element.value,
                    length,
                });
                return Ok(());
            }
            if element.length == UNDEFINED || is_sequence(element.tag) {
                reader.skip(&element)?;
                self.take_sequence(&element);
            } else {
                let value = reader.value(&element)?;
                reader.pos += value.len();
                self.take(&element, value, reader.encoding);
            }
        }
        Ok(())
    }

    fn take_sequence(&mut self, element: &Element) {
        match element.tag {
            tags::DIRECTORY_RECORD_SEQUENCE => self.is_directory = true,
            tags::MODALITY_LUT_SEQUENCE => self.has_modality_lut = true,
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE => self.shared_groups = Some(*element),
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE => self.per_frame_groups = Some(*element),
            _ => {}
        }
    }

    fn take(&mut self, element: &Element, value: &[u8], encoding: Encoding) {
        match element.tag {
            tags::SOP_CLASS_UID => set_uid(&mut self.sop_class_uid, value),
            tags::SOP_INSTANCE_UID => set_uid(&mut self.info.sop_instance_uid, value),
            tags::PATIENT_ID if !trimmed(value).is_empty() => {
                self.patient_hash = Some(patient_hash(trimmed(value)));
            }
            tags::FRAME_OF_REFERENCE_UID => set_uid(&mut self.info.frame_of_reference_uid, value),
            tags::LOSSY_IMAGE_COMPRESSION => set_text(&mut self.info.lossy_image_compression, value),
            tags::BURNED_IN_ANNOTATION => set_text(&mut self.info.burned_in_annotation, value),
            tags::MODALITY => set_text(&mut self.info.modality, value),
            tags::MANUFACTURER => set_text(&mut self.info.manufacturer, value),
            tags::MANUFACTURER_MODEL_NAME => set_text(&mut self.info.manufacturer_model_name, value),
            tags::STUDY_INSTANCE_UID => set_uid(&mut self.info.study_instance_uid, value),
            tags::SERIES_INSTANCE_UID => set_uid(&mut self.info.series_instance_uid, value),
            tags::SAMPLES_PER_PIXEL => self.samples_per_pixel = unsigned(value, encoding),
            tags::PHOTOMETRIC_INTERPRETATION => set_text(&mut self.photometric_interpretation, value),
            tags::NUMBER_OF_FRAMES => self.number_of_frames = integer(value),
            tags::ROWS => self.info.rows = unsigned(value, encoding).unwrap_or(0),
            tags::COLUMNS => self.info.columns = unsigned(value, encoding).unwrap_or(0),
            tags::BITS_ALLOCATED => self.bits_allocated = unsigned(value, encoding),
            tags::BITS_STORED => self.info.bits_stored = unsigned(value, encoding),
            tags::HIGH_BIT => self.high_bit = unsigned(value, encoding),
            tags::PIXEL_REPRESENTATION => self.pixel_representation = unsigned(value, encoding),
            tags::PIXEL_PADDING_VALUE => self.padding_value = unsigned(value, encoding),
            tags::PIXEL_PADDING_RANGE_LIMIT => self.padding_limit = unsigned(value, encoding),
            tags::EXTENDED_OFFSET_TABLE => {
                self.extended_offsets = Some(element.value..element.value + value.len())
            }
            tag => take_frame_attribute(&mut self.info, &mut self.frame, tag, value),
        }
    }

    /// Pixel Padding Value and Range Limit as an ascending range of stored values.
    fn pixel_padding(&self) -> Option<[f64; 2]> {
        let value = self.stored_value(self.padding_value?);
        let limit = self.padding_limit.map_or(value, |limit| self.stored_value(limit));
        Some([value.min(limit), value.max(limit)])
    }

    fn stored_value(&self, raw: u32) -> f64 {
        match (self.pixel_representation, self.bits_allocated) {
            (Some(1), Some(32)) => f64::from(raw as i32),
            (Some(1), _) => f64::from(raw as u16 as i16),
            _ => f64::from(raw),
        }
    }
}

/// Attributes that stand in the data set of a single-frame object and in the functional groups of a
/// multi-frame one, with the same tags.
pub(crate) fn take_frame_attribute(
    info: &mut SliceInfo,
    frame: &mut FrameAttributes,
    tag: Tag,
    value: &[u8],
) {
    match tag {
        tags::IMAGE_TYPE | tags::FRAME_TYPE => set_text(&mut info.image_type, value),
        tags::SLICE_THICKNESS => info.slice_thickness_mm = decimal(value).filter(|v| v.is_finite()),
        tags::CONVOLUTION_KERNEL => set_text(&mut info.convolution_kernel, value),
        // Acquisition Number; Frame Acquisition Number is a binary number, read by its group.
        tags::ACQUISITION_NUMBER => info.acquisition_number = integer(value),
        tags::INSTANCE_NUMBER => info.instance_number = integer(value),
        tags::IMAGE_POSITION_PATIENT => info.image_position_patient = decimals(value),
        tags::IMAGE_ORIENTATION_PATIENT => info.image_orientation_patient = decimals(value),
        tags::PIXEL_SPACING => info.pixel_spacing_mm = decimals(value),
        tags::RESCALE_INTERCEPT => {
            frame.rescale_intercept = Number::of(value);
            info.rescale_intercept = frame.rescale_intercept.finite();
        }
        tags::RESCALE_SLOPE => {
            frame.rescale_slope = Number::of(value);
            info.rescale_slope = frame.rescale_slope.finite();
        }
        _ => {}
    }
}

fn pixel_kind(tag: Tag) -> Option<PixelKind> {
    match tag {
        tags::PIXEL_DATA => Some(PixelKind::Integer),
        tags::FLOAT_PIXEL_DATA => Some(PixelKind::Float),
        tags::DOUBLE_FLOAT_PIXEL_DATA => Some(PixelKind::Double),
        _ => None,
    }
}

/// The sequences that are looked into or noticed, whatever VR the file gives them.
fn is_sequence(tag: Tag) -> bool {
    matches!(
        tag,
        tags::DIRECTORY_RECORD_SEQUENCE
            | tags::MODALITY_LUT_SEQUENCE
            | tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE
            | tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE
    )
}
