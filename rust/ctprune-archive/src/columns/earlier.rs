//! Rows of an earlier manifest, so that unchanged files need not be read again.

use super::arrow::ColumnRef;
use crate::exclusions::EXCLUDED;
use crate::files::Stamp;
use crate::table::{Content, Reader};
use ctprune_dicom::slice::{Refusal, SliceInfo};

/// A batch of rows of an earlier manifest, by column name.
pub struct EarlierRows<'a> {
    /// Number of rows.
    pub rows: usize,
    /// The columns, by name.
    pub columns: Vec<(&'a str, ColumnRef<'a>)>,
    /// Bytes per fingerprint.
    pub fingerprint_bytes: usize,
}

impl<'a> EarlierRows<'a> {
    fn column(&self, name: &str) -> Option<ColumnRef<'a>> {
        self.columns
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, column)| *column)
    }

    fn text(&self, name: &str, row: usize) -> &'a str {
        self.column(name).map_or("", |column| column.text(row))
    }

    fn fixed<const N: usize>(&self, name: &str, row: usize) -> Option<[u8; N]> {
        self.column(name).and_then(|column| column.fixed(row))
    }

    fn floats<const N: usize>(&self, name: &str, row: usize) -> Option<[f64; N]> {
        self.column(name).and_then(|column| column.floats(row))
    }

    fn integer(&self, name: &str, row: usize) -> Option<i32> {
        self.fixed(name, row).map(i32::from_ne_bytes)
    }

    /// Absolute path of the source.
    pub fn source(&self, row: usize) -> &'a str {
        self.text("source", row)
    }

    /// Path relative to the source.
    pub fn path(&self, row: usize) -> &'a str {
        self.text("path", row)
    }

    /// Size and time of the file when it was read.
    pub fn stamp(&self, row: usize) -> Option<Stamp> {
        let size = i64::from_ne_bytes(self.fixed("file_size", row)?) as u64;
        Some(Stamp {
            size,
            mtime_ns: i64::from_ne_bytes(self.fixed("file_mtime_ns", row)?),
        })
    }

    /// Who read the file.
    pub fn reader(&self, row: usize) -> Option<Reader> {
        Reader::from_name(self.text("reader", row))
    }

    /// What was known of the slice.
    pub fn info(&self, row: usize) -> SliceInfo {
        let owned = |name| self.text(name, row).to_owned();
        SliceInfo {
            frame: self.integer("frame", row).unwrap_or(0) as u32,
            study_instance_uid: owned("study_instance_uid"),
            series_instance_uid: owned("series_instance_uid"),
            sop_instance_uid: owned("sop_instance_uid"),
            modality: owned("modality"),
            transfer_syntax_uid: owned("transfer_syntax_uid"),
            rows: self.integer("rows", row).unwrap_or(0) as u32,
            columns: self.integer("columns", row).unwrap_or(0) as u32,
            pixel_spacing_mm: self.floats("pixel_spacing_mm", row),
            image_position_patient: self.floats("image_position_patient", row),
            image_orientation_patient: self.floats("image_orientation_patient", row),
            acquisition_number: self.integer("acquisition_number", row).map(i64::from),
            instance_number: self.integer("instance_number", row).map(i64::from),
            slice_thickness_mm: self.floats::<1>("slice_thickness_mm", row).map(|[mm]| mm),
            manufacturer: owned("manufacturer"),
            manufacturer_model_name: owned("manufacturer_model_name"),
            convolution_kernel: owned("convolution_kernel"),
            ..SliceInfo::default()
        }
    }

    /// Fingerprint and range, or why there are none; `None` for a failure, which is tried again, and for a file that
    /// was excluded, of which nothing is known.
    pub fn content(&self, row: usize) -> Option<Result<Content, Refusal>> {
        match self.text("status", row) {
            "skipped" if self.text("reason", row).starts_with(EXCLUDED) => None,
            "skipped" => Some(Err(Refusal::Skipped(self.text("reason", row).to_owned()))),
            "kept" | "dropped" | "read" => {
                let bytes = self.column("fingerprint")?.bytes(row, self.fingerprint_bytes)?;
                let float = |name| self.fixed(name, row).map(f32::from_ne_bytes);
                let (min_hu, max_hu) = (float("min_hu")?, float("max_hu")?);
                Some(Ok(Content {
                    fingerprint: words(bytes),
                    min_hu,
                    max_hu,
                }))
            }
            _ => None,
        }
    }
}

/// Big-endian bytes to words, the last one filled up with zeros.
pub fn words(bytes: &[u8]) -> Vec<u64> {
    let word = |part: &[u8]| {
        let mut full = [0; 8];
        full[..part.len()].copy_from_slice(part);
        u64::from_be_bytes(full)
    };
    bytes.chunks(8).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn the_first_byte_is_the_most_significant() {
        assert_eq!(
            words(&[1, 2, 3, 4, 5, 6, 7, 8, 0x80]),
            [0x0102_0304_0506_0708, 0x8000_0000_0000_0000]
        );
    }
}
