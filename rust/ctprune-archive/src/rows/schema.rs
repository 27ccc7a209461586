//! The manifest's columns. Each is described here and nowhere else: name, type, meaning, and how a value of it is
//! taken from a row and given back to one.

use crate::rows::row::Reader;
use crate::rows::value::Value;
use crate::rows::view::Status;
use crate::rows::view::{RowView, StoredRow};
use arrow_schema::{DataType, Field, Schema};
use ctprune_core::intensity::{SHARES, Shares};
use ctprune_dicom::code::Code;
use ctprune_dicom::text::{limit_text, limit_uid};
use std::sync::Arc;

/// Version of the layout; other versions are refused.
pub const MANIFEST_VERSION: u64 = 5;

/// Key of the Parquet metadata under which a manifest's version and configuration stand.
pub const METADATA_KEY: &str = "ctprune";

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; an empty one is null where the column may be null.
    Text,
    /// Signed integers of 32 bits.
    Int32,
    /// Signed integers of 64 bits.
    Int64,
    /// Floats of 32 bits.
    Float32,
    /// Floats of 64 bits.
    Float64,
    /// So many floats of 64 bits.
    Floats(usize),
    /// A fingerprint's bytes.
    Fingerprint,
}

impl Kind {
    /// Arrow's type; a fingerprint has so many bytes.
    pub fn data_type(self, fingerprint_bytes: usize) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Float32 => DataType::Float32,
            Kind::Float64 => DataType::Float64,
            Kind::Floats(count) => {
                let value = Field::new_list_field(DataType::Float64, true);
                DataType::FixedSizeList(Arc::new(value), count as i32)
            }
            Kind::Fingerprint => DataType::FixedSizeBinary(fingerprint_bytes as i32),
        }
    }

    /// The kind of values of Arrow's type, if any has it.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Utf8 => Kind::Text,
            DataType::Int32 => Kind::Int32,
            DataType::Int64 => Kind::Int64,
            DataType::Float32 => Kind::Float32,
            DataType::Float64 => Kind::Float64,
            DataType::FixedSizeList(_, count) => Kind::Floats(usize::try_from(*count).ok()?),
            DataType::FixedSizeBinary(_) => Kind::Fingerprint,
            _ => return None,
        })
    }

    /// The type as the documentation names it.
    pub fn name(self) -> String {
        match self {
            Kind::Text => "string".into(),
            Kind::Int32 => "int32".into(),
            Kind::Int64 => "int64".into(),
            Kind::Float32 => "float32".into(),
            Kind::Float64 => "float64".into(),
            Kind::Floats(count) => format!("float64[{count}]"),
            Kind::Fingerprint => "fixed-size binary".into(),
        }
    }
}

/// Where a column's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file system.
    File,
    /// What describes the slice in its file.
    Header,
    /// The slice's pixels.
    Pixels,
    /// The run: grouping and selection.
    Run,
}

/// One column.
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Where they come from.
    pub origin: Origin,
    /// Whether every row has one.
    pub required: bool,
    /// What they mean, for the documentation.
    pub about: &'static str,
    /// Takes the value from a row.
    pub of: for<'a> fn(&'a RowView<'_>) -> Value<'a>,
    /// Gives the value back to a row.
    pub restore: fn(&mut StoredRow, Value<'_>),
}

impl Column {
    const fn new(
        name: &'static str,
        kind: Kind,
        origin: Origin,
        about: &'static str,
        of: for<'a> fn(&'a RowView<'_>) -> Value<'a>,
        restore: fn(&mut StoredRow, Value<'_>),
    ) -> Self {
        let required = false;
        Self {
            name,
            kind,
            origin,
            required,
            about,
            of,
            restore,
        }
    }

    const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }
}

/// Not taken over from an earlier manifest: every run makes it anew.
const NEW: fn(&mut StoredRow, Value<'_>) = |_, _| ();

use Kind::{Fingerprint, Float32, Float64, Floats, Int32, Int64, Text};
use Origin::{File, Header, Pixels, Run};

/// All columns, in the manifest's order.
#[rustfmt::skip]
pub static COLUMNS: [Column; 42] = [
    Column::new("path", Text, File, "File, relative to its source, `/` on every system.",
        |row| row.path.as_str().into(), |row, value| row.path = value.text()).required(),
    Column::new("source", Text, File, "Absolute path of the source, or its address without the query.",
        |row| row.source.as_ref().into(), |row, value| row.source = value.text()).required(),
    Column::new("frame", Int32, Header, "Index of the frame in a multi-frame object, of the slice in a NIfTI file or of the page in a TIFF, from 0.",
        |row| row.row.frame.into(), |row, value| row.info.frame = value.unsigned()).required(),
    Column::new("study_instance_uid", Text, Header, "Study Instance UID; if longer than 64 bytes, shortened to end in a hash of the whole.",
        |row| row.series.study_instance_uid.as_str().into(), |row, value| row.info.study_instance_uid = uid(value)),
    Column::new("series_instance_uid", Text, Header, "Series Instance UID; if longer than 64 bytes, shortened to end in a hash of the whole.",
        |row| row.series.series_instance_uid.as_str().into(), |row, value| row.info.series_instance_uid = uid(value)),
    Column::new("sop_instance_uid", Text, Header, "SOP Instance UID; if longer than 64 bytes, shortened to end in a hash of the whole.",
        |row| row.sop_instance_uid.as_str().into(), |row, value| row.info.sop_instance_uid = uid(value)),
    Column::new("volume", Int32, Run, "Number of the volume, from 0; null for skipped and failed files.",
        |row| row.selected.map(|s| s.volume).into(), |row, value| row.volume = value.integer()),
    Column::new("slice_index", Int32, Run, "Index of the slice within its volume, from 0; null for skipped and failed files.",
        |row| row.selected.map(|s| s.slice_index).into(), NEW),
    Column::new("position_mm", Float64, Run, "Position along the volume's mean normal, in mm; null if the files give none.",
        |row| row.selected.and_then(|s| s.position_mm).into(), NEW),
    Column::new("rows", Int32, Header, "Rows of the slice's matrix.",
        |row| side(row.shape.rows).into(), |row, value| row.info.rows = value.unsigned()),
    Column::new("columns", Int32, Header, "Columns of the slice's matrix.",
        |row| side(row.shape.columns).into(), |row, value| row.info.columns = value.unsigned()),
    Column::new("pixel_spacing_mm", Floats(2), Header, "Pixel Spacing in mm: between rows, between columns.",
        |row| row.shape.pixel_spacing_mm.as_ref().into(), |row, value| row.info.pixel_spacing_mm = value.floats()),
    Column::new("transfer_syntax_uid", Text, Header, "Transfer Syntax UID: how the pixels were encoded.",
        |row| row.series.transfer_syntax_uid.as_str().into(), |row, value| row.info.transfer_syntax_uid = text(value)),
    Column::new("min_hu", Float32, Pixels, "Smallest value of the slice in HU (gray value for 8-bit images).",
        |row| row.of_slice(row.row.min_hu).into(), |row, value| row.fingerprinted.min_hu = value.float32()),
    Column::new("max_hu", Float32, Pixels, "Largest value of the slice in HU (gray value for 8-bit images).",
        |row| row.of_slice(row.row.max_hu).into(), |row, value| row.fingerprinted.max_hu = value.float32()),
    Column::new("status", Text, Run, "`kept`, `dropped`, `skipped` or `failed`.",
        |row| row.status().name().into(), |row, value| row.status = Status::from_name(&value.text())).required(),
    Column::new("reason", Text, Run, "Why a file was skipped or failed; `excluded by --exclude GLOB` if you excluded it.",
        |row| row.reason.map_or("", |reason| &reason.text).into(), |row, value| row.reason = value.text()),
    Column::new("code", Text, Run, "Stable code of the reason, such as `E-TRUNCATED` or `S-LOCALIZER`; null for slices.",
        |row| row.reason.map_or("", |reason| reason.code.name()).into(), |row, value| row.code = Code::from_name(&value.text())),
    Column::new("fingerprint", Fingerprint, Pixels, "The fingerprint: a dHash, or the kind that the method or `--fingerprint` sets; the hex of a dHash equals `str(imagehash.dhash(image))`.",
        |row| row.fingerprint.as_slice().into(), |row, value| row.fingerprinted.fingerprint = value.words()),
    Column::new("exemplar", Int64, Run, "Row of the kept slice that covers this slice; for a kept slice its own row; null if no slice covers it.",
        |row| row.selected.and_then(|s| s.exemplar).into(), |row, value| row.exemplar = value.integer()),
    Column::new("similarity", Float32, Run, "Hamming distance to the exemplar; with `--method ssim`, `mi` or `deep` the mean SSIM, \
        normalized mutual information (2 when kept) or cosine similarity.",
        |row| row.selected.and_then(|s| s.similarity).into(), |row, value| row.similarity = value.float32()),
    Column::new("reader", Text, Header, "What read the file: `dicom`, `pydicom`, `nifti` or `image`.",
        |row| row.row.reader.name().into(), |row, value| row.reader = Reader::from_name(&value.text()).unwrap_or_default()),
    Column::new("modality", Text, Header, "Modality; empty if the file gives no valid code.",
        |row| row.series.modality.as_str().into(), |row, value| row.info.modality = text(value)),
    Column::new("manufacturer", Text, Header, "Manufacturer, the first 1,024 bytes.",
        |row| row.series.manufacturer.as_str().into(), |row, value| row.info.manufacturer = text(value)),
    Column::new("manufacturer_model_name", Text, Header, "Manufacturer's Model Name, the first 1,024 bytes.",
        |row| row.series.manufacturer_model_name.as_str().into(), |row, value| row.info.manufacturer_model_name = text(value)),
    Column::new("convolution_kernel", Text, Header, "Convolution Kernel, the first 1,024 bytes.",
        |row| row.series.convolution_kernel.as_str().into(), |row, value| row.info.convolution_kernel = text(value)),
    Column::new("slice_thickness_mm", Float64, Header, "Slice Thickness in mm.",
        |row| row.shape.slice_thickness_mm.into(), |row, value| row.info.slice_thickness_mm = value.float()),
    Column::new("image_position_patient", Floats(3), Header, "Image Position (Patient) in mm.",
        |row| row.position.as_ref().into(), |row, value| row.info.image_position_patient = value.floats()),
    Column::new("image_orientation_patient", Floats(6), Header, "Image Orientation (Patient): direction cosines of a row, then of a column.",
        |row| row.shape.image_orientation_patient.as_ref().into(), |row, value| row.info.image_orientation_patient = value.floats()),
    Column::new("acquisition_number", Int32, Header, "Acquisition Number.",
        |row| row.row.acquisition_number().into(), |row, value| row.info.acquisition_number = value.integer()),
    Column::new("instance_number", Int32, Header, "Instance Number.",
        |row| row.row.instance_number().into(), |row, value| row.info.instance_number = value.integer()),
    Column::new("image_type", Text, Header, "Image Type, or Frame Type of a frame: values separated by backslashes; a value that is no valid code is empty.",
        |row| row.series.image_type.as_str().into(), |row, value| row.info.image_type = text(value)),
    Column::new("frame_of_reference_uid", Text, Header, "Frame of Reference UID; if longer than 64 bytes, shortened to end in a hash of the whole.",
        |row| row.series.frame_of_reference_uid.as_str().into(), |row, value| row.info.frame_of_reference_uid = uid(value)),
    Column::new("bits_stored", Int32, Header, "Bits Stored.",
        |row| row.series.bits_stored.into(), |row, value| row.info.bits_stored = value.integer().and_then(|bits| bits.try_into().ok())),
    Column::new("rescale_slope", Float64, Header, "Rescale Slope; null if the file gives none.",
        |row| row.series.rescale_slope().into(), |row, value| row.info.rescale_slope = value.float()),
    Column::new("rescale_intercept", Float64, Header, "Rescale Intercept; null if the file gives none.",
        |row| row.series.rescale_intercept().into(), |row, value| row.info.rescale_intercept = value.float()),
    Column::new("lossy_image_compression", Text, Header, "Lossy Image Compression: `01` if the pixels were ever compressed with loss.",
        |row| row.series.lossy_image_compression.as_str().into(), |row, value| row.info.lossy_image_compression = text(value)),
    Column::new("burned_in_annotation", Text, Header, "Burned In Annotation: `YES` if the pixels contain text that could identify the patient.",
        |row| row.series.burned_in_annotation.as_str().into(), |row, value| row.info.burned_in_annotation = text(value)),
    Column::new("patient_check", Int32, Header, "8 bits of a hash of Patient ID and Study Instance UID: if they differ within a study, the \
        patients differ; the bits do not reveal the ID.",
        |row| row.series.patient_check.map(u32::from).into(), |row, value| row.info.patient_check = value.integer().and_then(|bits| bits.try_into().ok())),
    Column::new("hu_shares", Floats(SHARES), Pixels, "Shares of the pixels in 11 bins, divided at -1500, -1100, -850, -500, -200, 0, 200, 850, 1250 \
        and 3000 HU; then the shares at the smallest and at the largest value; from about 32,768 pixels of the slice, evenly spread, or all of fewer.",
        |row| row.shares.as_ref().into(), |row, value| row.fingerprinted.shares = value.floats().and_then(Shares::stored)),
    Column::new("file_size", Int64, File, "Size of the file in bytes, to detect changes; 0 for DICOMweb, which does not report it.",
        |row| (row.stamp.size as i64).into(), |row, value| row.stamp.size = value.integer().unwrap_or(0) as u64).required(),
    Column::new("file_version", Int64, File, "Modification time of the file in nanoseconds since 1970; for an object in a store, 63 bits of its ETag's hash.",
        |row| row.stamp.version.into(), |row, value| row.stamp.version = value.integer().unwrap_or(0)).required(),
];

/// The column with this name.
pub fn column(name: &str) -> Option<&'static Column> {
    COLUMNS.iter().find(|column| column.name == name)
}

/// The columns as an Arrow schema, for fingerprints of so many bytes.
pub fn schema(fingerprint_bytes: usize) -> Schema {
    let field = |column: &Column| {
        let kind = column.kind.data_type(fingerprint_bytes);
        Field::new(column.name, kind, !column.required)
    };
    Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>())
}

/// The columns as a table in Markdown: what the documentation shows.
pub fn documentation() -> String {
    let mut table = String::from("| column | type | meaning |\n|---|---|---|\n");
    for column in &COLUMNS {
        table += &format!(
            "| `{}` | {} | {} |\n",
            column.name,
            column.kind.name(),
            column.about
        );
    }
    table
}

fn side(size: u32) -> Option<u32> {
    (size > 0).then_some(size)
}

fn uid(value: Value<'_>) -> String {
    let mut uid = value.text();
    limit_uid(&mut uid);
    uid
}

fn text(value: Value<'_>) -> String {
    let mut text = value.text();
    limit_text(&mut text);
    text
}
