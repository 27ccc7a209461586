//! Every slice and every refusal as a row of 64 bytes and 26 of shares plus its SOP Instance UID and fingerprint.
//!
//! What repeats over a series (UIDs, matrix, spacing, orientation, scanner) is interned; the rest stands in
//! the row. With the file names this stays near 200 bytes a slice, so that ten million slices fit in 2 GiB.

use crate::error::ArchiveError;
use crate::rows::intern::{Bits, Interner};
use crate::rows::row::{NO_NUMBER, NewRow, Row, State};
use crate::rows::uids::Uids;
use ctprune_core::intensity::Shares;
use ctprune_dicom::code::{Code, Reason};
use ctprune_dicom::slice::{Refusal, SliceInfo};
use ctprune_dicom::text::{code_string, code_strings, uid};

/// What all slices of a series share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeriesAttributes {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Modality.
    pub modality: String,
    /// Transfer Syntax UID.
    pub transfer_syntax_uid: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Manufacturer's Model Name.
    pub manufacturer_model_name: String,
    /// Convolution Kernel.
    pub convolution_kernel: String,
    /// Image Type: values between backslashes.
    pub image_type: String,
    /// Frame of Reference UID.
    pub frame_of_reference_uid: String,
    /// Bits Stored.
    pub bits_stored: Option<u32>,
    /// Rescale Slope.
    rescale_slope: Option<Bits>,
    /// Rescale Intercept.
    rescale_intercept: Option<Bits>,
    /// Lossy Image Compression.
    pub lossy_image_compression: String,
    /// Burned In Annotation.
    pub burned_in_annotation: String,
    /// Bits of a hash of patient and study.
    pub patient_check: Option<u8>,
}

/// Matrix and geometry of a slice, but for its position. As a key its numbers are [`Bits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape<F = f64> {
    /// Rows, 0 when unknown.
    pub rows: u32,
    /// Columns, 0 when unknown.
    pub columns: u32,
    /// Pixel Spacing in mm: between rows, between columns.
    pub pixel_spacing_mm: Option<[F; 2]>,
    /// Image Orientation (Patient).
    pub image_orientation_patient: Option<[F; 6]>,
    /// Slice Thickness in mm.
    pub slice_thickness_mm: Option<F>,
}

impl Shape {
    fn of(info: &SliceInfo) -> Self {
        Self {
            rows: info.rows,
            columns: info.columns,
            pixel_spacing_mm: info.pixel_spacing_mm,
            image_orientation_patient: info.image_orientation_patient,
            slice_thickness_mm: info.slice_thickness_mm,
        }
    }
}

impl<F> Shape<F> {
    fn map<G>(self, convert: impl Fn(F) -> G + Copy) -> Shape<G> {
        Shape {
            rows: self.rows,
            columns: self.columns,
            pixel_spacing_mm: self.pixel_spacing_mm.map(|values| values.map(convert)),
            image_orientation_patient: self.image_orientation_patient.map(|values| values.map(convert)),
            slice_thickness_mm: self.slice_thickness_mm.map(convert),
        }
    }
}

/// All rows of an archive.
pub struct Table {
    rows: Vec<Row>,
    words: usize,
    fingerprints: Vec<u64>,
    shares: Vec<Shares>,
    sops: Uids,
    series: Interner<SeriesAttributes>,
    shapes: Interner<Shape<Bits>>,
    reasons: Interner<Reason>,
}

impl Table {
    /// An empty table for fingerprints of this many 64-bit words.
    pub fn new(words: usize) -> Self {
        Self {
            rows: Vec::new(),
            words,
            fingerprints: Vec::new(),
            shares: Vec::new(),
            sops: Uids::default(),
            series: Interner::default(),
            shapes: Interner::default(),
            reasons: Interner::default(),
        }
    }

    /// Words per fingerprint.
    pub fn words(&self) -> usize {
        self.words
    }

    /// All rows, stale ones too.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Mark a row as no longer part of the table.
    pub fn retire(&mut self, row: usize) {
        self.rows[row].state = State::Stale;
    }

    /// Leave a slice out for this reason; what its pixels gave stays, so that another run can take it.
    pub fn gate(&mut self, row: usize, reason: &Reason) {
        self.rows[row].reason = self.reasons.number(reason);
        self.rows[row].state = State::Gated;
    }

    /// Add to the reason why a row could not be read, with another code where there is one: no other reader will
    /// try.
    pub fn refuse(&mut self, row: usize, addition: &str, code: Option<Code>) {
        let before = self.reasons.value(self.rows[row].reason);
        let text = format!("{}; {addition}", before.text);
        let reason = Reason::new(code.unwrap_or(before.code), text);
        self.rows[row].reason = self.reasons.number(&reason);
        self.rows[row].state = State::Failed;
    }

    /// Add a row; fails when there are more than the table can number.
    pub fn push(&mut self, new: NewRow) -> Result<(), ArchiveError> {
        if self.rows.len() >= (u32::MAX - 1) as usize {
            return Err(ArchiveError::TooManySlices);
        }
        let info = &new.info;
        let mut row = Row {
            file: new.file,
            frame: info.frame,
            position: info.image_position_patient.unwrap_or([f64::NAN; 3]),
            acquisition_number: narrow(info.acquisition_number),
            instance_number: narrow(info.instance_number),
            min_hu: f32::NAN,
            max_hu: f32::NAN,
            series: self.series.number(&SeriesAttributes::of(info)),
            shape: self.shapes.number(&Shape::of(info).map(Bits::from)),
            reason: 0,
            state: State::Slice,
            reader: new.reader,
        };
        match new.content {
            Ok(content) => {
                debug_assert_eq!(content.fingerprint.len(), self.words);
                (row.min_hu, row.max_hu) = (content.min_hu, content.max_hu);
                self.fingerprints.extend_from_slice(&content.fingerprint);
                self.shares.push(content.shares.unwrap_or_default());
            }
            Err(refusal) => {
                let (state, reason) = match refusal {
                    Refusal::Skipped(reason) => (State::Skipped, reason),
                    Refusal::Unsupported(reason) => (State::Unsupported, reason),
                    Refusal::Failed(error) => (State::Failed, Reason::new(error.code(), error.to_string())),
                };
                (row.state, row.reason) = (state, self.reasons.number(&reason));
                self.fingerprints.extend(std::iter::repeat_n(0, self.words));
                self.shares.push(Shares::default());
            }
        }
        self.sops.push(&info.sop_instance_uid);
        self.rows.push(row);
        Ok(())
    }

    /// Fingerprint words of a row, zeros for a refusal.
    pub fn fingerprint(&self, row: u32) -> &[u64] {
        let start = row as usize * self.words;
        &self.fingerprints[start..start + self.words]
    }

    /// Where the Hounsfield units of a row lie; `None` of a refusal and of a picture.
    pub fn shares(&self, row: u32) -> Option<Shares> {
        Some(self.shares[row as usize]).filter(|shares| !shares.is_empty())
    }

    /// SOP Instance UID of a row, empty when unknown.
    pub fn sop_instance_uid(&self, row: u32) -> String {
        self.sops.get(row as usize)
    }

    /// What the row shares with its series.
    pub fn series(&self, row: &Row) -> &SeriesAttributes {
        self.series.value(row.series)
    }

    /// Matrix and geometry of a row.
    pub fn shape(&self, row: &Row) -> Shape {
        self.shapes.value(row.shape).map(f64::from)
    }

    /// Why a row is no slice; `None` for a slice.
    pub fn reason(&self, row: &Row) -> Option<&Reason> {
        match row.state {
            State::Skipped | State::Gated | State::Unsupported | State::Failed => {
                Some(self.reasons.value(row.reason))
            }
            State::Slice | State::Stale => None,
        }
    }
}

/// Acquisition and instance numbers are integer strings (IS), which hold 32 bits.
fn narrow(number: Option<i64>) -> i32 {
    number.and_then(|n| i32::try_from(n).ok()).unwrap_or(NO_NUMBER)
}

impl SeriesAttributes {
    /// Rescale Slope.
    pub fn rescale_slope(&self) -> Option<f64> {
        self.rescale_slope.map(f64::from)
    }

    /// Rescale Intercept.
    pub fn rescale_intercept(&self) -> Option<f64> {
        self.rescale_intercept.map(f64::from)
    }

    fn of(info: &SliceInfo) -> Self {
        Self {
            study_instance_uid: info.study_instance_uid.clone(),
            series_instance_uid: info.series_instance_uid.clone(),
            modality: code_string(&info.modality).to_owned(),
            transfer_syntax_uid: uid(&info.transfer_syntax_uid).to_owned(),
            manufacturer: info.manufacturer.clone(),
            manufacturer_model_name: info.manufacturer_model_name.clone(),
            convolution_kernel: info.convolution_kernel.clone(),
            image_type: code_strings(&info.image_type),
            frame_of_reference_uid: info.frame_of_reference_uid.clone(),
            bits_stored: info.bits_stored,
            rescale_slope: info.rescale_slope.map(Bits::from),
            rescale_intercept: info.rescale_intercept.map(Bits::from),
            lossy_image_compression: code_string(&info.lossy_image_compression).to_owned(),
            burned_in_annotation: code_string(&info.burned_in_annotation).to_owned(),
            patient_check: info.patient_check,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::row::{Fingerprinted, Reader};
    use ctprune_dicom::error::ReadError;

    #[test]
    fn a_row_costs_what_the_memory_budget_allows() {
        assert!(std::mem::size_of::<Row>() <= 64, "{}", std::mem::size_of::<Row>());
    }

    #[test]
    fn rows_give_back_what_was_put_in() {
        let mut table = Table::new(1);
        let info = SliceInfo {
            frame: 3,
            sop_instance_uid: "1.2.3".into(),
            image_position_patient: Some([1.0, 2.0, -3.5]),
            pixel_spacing_mm: Some([0.5, 0.25]),
            instance_number: Some(7),
            acquisition_number: Some(1 << 40),
            ..SliceInfo::default()
        };
        let content = Fingerprinted {
            fingerprint: vec![42],
            min_hu: -1024.0,
            max_hu: 3071.0,
            shares: None,
        };
        table
            .push(NewRow {
                file: 0,
                reader: Reader::Dicom,
                info,
                content: Ok(content),
            })
            .unwrap();
        let refusal = Refusal::Failed(ReadError::Truncated("the file"));
        table
            .push(NewRow {
                file: 1,
                reader: Reader::None,
                info: SliceInfo::default(),
                content: Err(refusal),
            })
            .unwrap();
        let row = &table.rows()[0];
        assert_eq!(row.position(), Some([1.0, 2.0, -3.5]));
        assert_eq!((row.instance_number(), row.acquisition_number()), (Some(7), None));
        assert_eq!(table.shape(row).pixel_spacing_mm, Some([0.5, 0.25]));
        assert_eq!(
            (table.fingerprint(0), table.fingerprint(1)),
            (&[42][..], &[0][..])
        );
        assert_eq!(table.sop_instance_uid(0), "1.2.3");
        assert_eq!(table.sop_instance_uid(1), "");
        let reason = Reason::new(Code::Truncated, "the file is truncated");
        assert_eq!(table.reason(&table.rows()[1]), Some(&reason));
        assert_eq!(table.reason(&table.rows()[0]), None);
        assert_eq!(table.rows()[1].position(), None);
    }
}
