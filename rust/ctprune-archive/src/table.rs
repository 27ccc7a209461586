//! Every slice and every refusal as a row of about eighty bytes plus its SOP Instance UID and fingerprint.
//!
//! What repeats over a series (UIDs, matrix, spacing, orientation, scanner) is interned; the rest stands in
//! the row. With the file names this stays below 300 bytes a slice, so that ten million slices fit in 4 GiB.

use crate::files::FileId;
use crate::intern::{Bits, Interner, bits, floats};
use ctprune_dicom::slice::{Refusal, SliceInfo};
use ctprune_dicom::text::{code_string, uid};

/// Which code read the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reader {
    /// Nothing did.
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
    /// Could not be read.
    Failed,
    /// Belongs to a file that changed or vanished; not part of the table any more.
    Stale,
}

/// What all slices of a series share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Object {
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
}

/// Matrix and geometry, but for the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ShapeKey {
    rows: u32,
    columns: u32,
    pixel_spacing_mm: Option<[Bits; 2]>,
    image_orientation_patient: Option<[Bits; 6]>,
    slice_thickness_mm: Option<Bits>,
}

/// Matrix and geometry of a slice, but for its position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
    /// Pixel Spacing in mm: between rows, between columns.
    pub pixel_spacing_mm: Option<[f64; 2]>,
    /// Image Orientation (Patient).
    pub image_orientation_patient: Option<[f64; 6]>,
    /// Slice Thickness in mm.
    pub slice_thickness_mm: Option<f64>,
}

/// Stands for an integer that the file does not give.
const NO_NUMBER: i32 = i32::MIN;

/// A slice or a refusal.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its file.
    pub file: FileId,
    /// Frame within the file.
    pub frame: u32,
    /// Image Position (Patient) in mm; the first is NaN when there is none.
    position: [f64; 3],
    acquisition_number: i32,
    instance_number: i32,
    /// Smallest value of the slice in HU (grey value for 8-bit images).
    pub min_hu: f32,
    /// Largest value, likewise.
    pub max_hu: f32,
    object: u32,
    shape: u32,
    reason: u32,
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
    pub content: Result<Content, Refusal>,
}

/// What reading the pixels of a slice gave.
#[derive(Clone, Debug)]
pub struct Content {
    /// The fingerprint's words.
    pub fingerprint: Vec<u64>,
    /// Smallest value in HU.
    pub min_hu: f32,
    /// Largest value in HU.
    pub max_hu: f32,
}

/// All rows of an archive.
pub struct Table {
    rows: Vec<Row>,
    words: usize,
    fingerprints: Vec<u64>,
    sops: String,
    sop_end: Vec<u64>,
    objects: Interner<Object>,
    shapes: Interner<ShapeKey>,
    reasons: Interner<String>,
}

impl Table {
    /// An empty table for fingerprints of this many 64-bit words.
    pub fn new(words: usize) -> Self {
        Self {
            rows: Vec::new(),
            words,
            fingerprints: Vec::new(),
            sops: String::new(),
            sop_end: Vec::new(),
            objects: Interner::default(),
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

    /// Mark a row as not belonging any more.
    pub fn retire(&mut self, row: usize) {
        self.rows[row].state = State::Stale;
    }

    /// Add to the reason why a row could not be read: no other reader will try any more.
    pub fn refuse(&mut self, row: usize, addition: &str) {
        let reason = format!("{}; {addition}", self.reason(&self.rows[row]));
        self.rows[row].reason = self.reasons.number(&reason);
        self.rows[row].state = State::Failed;
    }

    /// Add a row; fails when there are more than the table can number.
    pub fn push(&mut self, new: NewRow) -> Result<(), String> {
        if self.rows.len() >= (u32::MAX - 1) as usize {
            return Err(
                "an archive may have at most 4,294,967,294 slices: split it into several runs".into(),
            );
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
            object: self.objects.number(&object(info)),
            shape: self.shapes.number(&shape_key(info)),
            reason: 0,
            state: State::Slice,
            reader: new.reader,
        };
        match new.content {
            Ok(content) => {
                debug_assert_eq!(content.fingerprint.len(), self.words);
                (row.min_hu, row.max_hu) = (content.min_hu, content.max_hu);
                self.fingerprints.extend_from_slice(&content.fingerprint);
            }
            Err(refusal) => {
                let (state, reason) = match refusal {
                    Refusal::Skipped(reason) => (State::Skipped, reason),
                    Refusal::Unsupported(reason) => (State::Unsupported, reason),
                    Refusal::Failed(reason) => (State::Failed, reason),
                };
                (row.state, row.reason) = (state, self.reasons.number(&reason));
                self.fingerprints.extend(std::iter::repeat_n(0, self.words));
            }
        }
        self.sops.push_str(&info.sop_instance_uid);
        self.sop_end.push(self.sops.len() as u64);
        self.rows.push(row);
        Ok(())
    }

    /// Fingerprint words of a row, zeros for a refusal.
    pub fn fingerprint(&self, row: u32) -> &[u64] {
        let start = row as usize * self.words;
        &self.fingerprints[start..start + self.words]
    }

    /// SOP Instance UID of a row, empty when unknown.
    pub fn sop_instance_uid(&self, row: u32) -> &str {
        let start = if row == 0 {
            0
        } else {
            self.sop_end[row as usize - 1] as usize
        };
        &self.sops[start..self.sop_end[row as usize] as usize]
    }

    /// Number of the interned [`Object`] of a row: equal numbers, equal objects.
    pub fn object(&self, row: &Row) -> &Object {
        self.objects.value(row.object)
    }

    /// Matrix and geometry of a row.
    pub fn shape(&self, row: &Row) -> Shape {
        let key = self.shapes.value(row.shape);
        Shape {
            rows: key.rows,
            columns: key.columns,
            pixel_spacing_mm: key.pixel_spacing_mm.map(floats),
            image_orientation_patient: key.image_orientation_patient.map(floats),
            slice_thickness_mm: key.slice_thickness_mm.map(f64::from),
        }
    }

    /// Why a row is no slice; empty for a slice.
    pub fn reason(&self, row: &Row) -> &str {
        match row.state {
            State::Skipped | State::Unsupported | State::Failed => self.reasons.value(row.reason),
            State::Slice | State::Stale => "",
        }
    }
}

/// Acquisition and instance numbers are integer strings (IS), which hold 32 bits.
fn narrow(number: Option<i64>) -> i32 {
    number.and_then(|n| i32::try_from(n).ok()).unwrap_or(NO_NUMBER)
}

fn object(info: &SliceInfo) -> Object {
    Object {
        study_instance_uid: info.study_instance_uid.clone(),
        series_instance_uid: info.series_instance_uid.clone(),
        modality: code_string(&info.modality).to_owned(),
        transfer_syntax_uid: uid(&info.transfer_syntax_uid).to_owned(),
        manufacturer: info.manufacturer.clone(),
        manufacturer_model_name: info.manufacturer_model_name.clone(),
        convolution_kernel: info.convolution_kernel.clone(),
    }
}

fn shape_key(info: &SliceInfo) -> ShapeKey {
    ShapeKey {
        rows: info.rows,
        columns: info.columns,
        pixel_spacing_mm: info.pixel_spacing_mm.map(bits),
        image_orientation_patient: info.image_orientation_patient.map(bits),
        slice_thickness_mm: info.slice_thickness_mm.map(Bits::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_costs_what_the_memory_budget_allows() {
        assert!(std::mem::size_of::<Row>() <= 80, "{}", std::mem::size_of::<Row>());
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
        let content = Content {
            fingerprint: vec![42],
            min_hu: -1024.0,
            max_hu: 3071.0,
        };
        table
            .push(NewRow {
                file: 0,
                reader: Reader::Dicom,
                info,
                content: Ok(content),
            })
            .unwrap();
        let refusal = Refusal::Failed("broken".into());
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
        assert_eq!(
            (table.sop_instance_uid(0), table.sop_instance_uid(1)),
            ("1.2.3", "")
        );
        assert_eq!(table.reason(&table.rows()[1]), "broken");
        assert_eq!(table.rows()[1].position(), None);
    }
}
