//! A row with everything that a manifest says of it: as it goes into columns, and as it comes back.

use crate::discover::files::{Files, Stamp};
use crate::rows::row::{Fingerprinted, Reader, Row, State};
use crate::rows::table::{SeriesAttributes, Shape, Table};
use ctprune_core::intensity::{SHARES, Shares};
use ctprune_core::selection::NO_EXEMPLAR;
use ctprune_dicom::code::{Code, Reason};
use ctprune_dicom::slice::SliceInfo;
use std::borrow::Cow;

/// What became of a slice or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A slice that stands for itself and maybe for others.
    Kept,
    /// A slice that is left out.
    Dropped,
    /// Understood, but not asked for.
    Skipped,
    /// Could not be read.
    Failed,
    /// A slice before there is a selection: in parts of an unfinished run.
    Read,
}

/// Status by the name that stands in the manifest.
const STATUSES: [(Status, &str); 5] = [
    (Status::Kept, "kept"),
    (Status::Dropped, "dropped"),
    (Status::Skipped, "skipped"),
    (Status::Failed, "failed"),
    (Status::Read, "read"),
];

impl Status {
    /// The name in the manifest.
    pub fn name(self) -> &'static str {
        STATUSES[self as usize].1
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        STATUSES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(status, _)| *status)
    }

    /// Whether it is one of a slice.
    pub fn is_slice(self) -> bool {
        matches!(self, Self::Kept | Self::Dropped | Self::Read)
    }
}

/// Where a grouped slice stands, and what was selected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selected {
    /// Row of the manifest.
    pub row: u32,
    /// Number of the volume.
    pub volume: u32,
    /// Index within the volume.
    pub slice_index: u32,
    /// Position along the volume's normal.
    pub position_mm: Option<f64>,
    /// Row of the slice that covers this one.
    pub exemplar: Option<u32>,
    /// Distance or similarity to it.
    pub similarity: Option<f32>,
}

/// A row as it goes into columns.
pub struct RowView<'a> {
    /// Absolute path of the source.
    pub source: Cow<'a, str>,
    /// Path relative to the source.
    pub path: String,
    /// Size and time of the file.
    pub stamp: Stamp,
    /// The row.
    pub row: &'a Row,
    /// What it shares with its series.
    pub series: &'a SeriesAttributes,
    /// Matrix and geometry.
    pub shape: Shape,
    /// Image Position (Patient) in mm.
    pub position: Option<[f64; 3]>,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Why it is no slice.
    pub reason: Option<&'a Reason>,
    /// The fingerprint's bytes, the most significant first; empty for a refusal.
    pub fingerprint: Vec<u8>,
    /// Where its Hounsfield units lie.
    pub shares: Option<[f64; SHARES]>,
    /// What the selection says; `None` for refusals, and before there is one.
    pub selected: Option<Selected>,
}

impl<'a> RowView<'a> {
    /// The row with this number of a table; a fingerprint has so many bytes.
    pub fn new(
        table: &'a Table,
        files: &'a Files,
        number: u32,
        fingerprint_bytes: usize,
        selected: Option<Selected>,
    ) -> Self {
        let row = &table.rows()[number as usize];
        let mut fingerprint = Vec::new();
        let has_pixels = matches!(row.state, State::Slice | State::Gated);
        if has_pixels {
            fingerprint.extend(
                table
                    .fingerprint(number)
                    .iter()
                    .flat_map(|word| word.to_be_bytes()),
            );
            fingerprint.truncate(fingerprint_bytes);
        }
        Self {
            source: files.source_path(files.source_of(row.file)).to_string_lossy(),
            path: files.relative(row.file),
            stamp: files.stamp(row.file),
            row,
            series: table.series(row),
            shape: table.shape(row),
            position: row.position(),
            sop_instance_uid: table.sop_instance_uid(number),
            reason: table.reason(row),
            fingerprint,
            shares: table.shares(number).map(Shares::fractions),
            selected,
        }
    }

    /// What became of it.
    pub fn status(&self) -> Status {
        match (self.row.state, &self.selected) {
            (State::Skipped | State::Gated, _) => Status::Skipped,
            (State::Failed | State::Unsupported | State::Stale, _) => Status::Failed,
            (State::Slice, None) => Status::Read,
            (State::Slice, Some(s)) if s.exemplar.unwrap_or(NO_EXEMPLAR) == s.row => Status::Kept,
            (State::Slice, Some(_)) => Status::Dropped,
        }
    }

    /// A value that only what has pixels has.
    pub fn of_slice<T>(&self, value: T) -> Option<T> {
        matches!(self.row.state, State::Slice | State::Gated).then_some(value)
    }
}

/// A row as it comes back from columns, or from another reader.
#[derive(Clone, Debug, Default)]
pub struct StoredRow {
    /// Absolute path of the source.
    pub source: String,
    /// Path relative to the source.
    pub path: String,
    /// Size and time of the file when it was read.
    pub stamp: Stamp,
    /// Who read it.
    pub reader: Reader,
    /// What was known of the slice.
    pub info: SliceInfo,
    /// What became of it.
    pub status: Option<Status>,
    /// The code of why it is no slice.
    pub code: Option<Code>,
    /// Why it is no slice.
    pub reason: String,
    /// Fingerprint and range; without words where there are none.
    pub fingerprinted: Fingerprinted,
    /// Number of its volume.
    pub volume: Option<i64>,
    /// Row of the slice that covered it.
    pub exemplar: Option<i64>,
    /// Similarity to that one, NaN when there is none.
    pub similarity: f32,
}
