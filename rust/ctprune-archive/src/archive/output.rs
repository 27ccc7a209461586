//! Rows in the manifest's order, as batches of columns.

use super::Archive;
use crate::discover::files::Files;
use crate::discover::natural;
use crate::rows::batch::record_batch;
use crate::rows::row::State;
use crate::rows::table::Table;
use crate::rows::view::{RowView, Selected};
use arrow_array::RecordBatch;
use std::ops::Range;

/// Paths may be long, and a column's texts must stay below 2 GiB.
const MAX_PATH_BYTES: usize = 1 << 30;

impl Archive {
    /// Number of manifest rows.
    pub fn manifest_rows(&self) -> usize {
        self.volumes.order.len() + self.refusals.len()
    }

    /// These manifest rows, slices in order, then refusals; or as many of the first ones as fit into a batch.
    pub fn batch(&self, rows: Range<usize>) -> RecordBatch {
        let mut batch = Batch::new(self);
        for row in rows {
            let number = match self.volumes.order.get(row) {
                Some(&number) => number,
                None => self.refusals[row - self.volumes.order.len()],
            };
            if !batch.add(number, self.selected(row)) {
                break;
            }
        }
        batch.columns()
    }

    /// The slices of these volumes as a manifest of their own, whose rows and volumes go on from these numbers; with the
    /// numbers that the next batch begins with.
    pub fn volumes_batch(&self, volumes: &[u32], mut row: u32, first_volume: u32) -> (u32, RecordBatch) {
        let mut batch = Batch::new(self);
        for (&volume, number) in volumes.iter().zip(first_volume..) {
            let start = self.volumes.starts[volume as usize];
            let end = self.volumes.starts[volume as usize + 1];
            for slice in start..end {
                let selected = self.selected(slice).map(|selected| Selected {
                    row: row + selected.slice_index,
                    volume: number,
                    exemplar: selected.exemplar.map(|exemplar| exemplar - start as u32 + row),
                    ..selected
                });
                // Volumes are few at a time: their paths fit.
                batch.add(self.volumes.order[slice], selected);
            }
            row += (end - start) as u32;
        }
        (row, batch.columns())
    }

    /// These rows of the table in the order of reading, before there is a selection: slices have the status `read`.
    /// With them goes the row of the table that the next batch begins with.
    pub fn part(&self, rows: Range<usize>) -> (usize, RecordBatch) {
        let mut batch = Batch::new(self);
        let mut next = rows.start;
        for row in rows {
            let stale = self.table.rows()[row].state == State::Stale;
            if !stale && !batch.add(row as u32, None) {
                break;
            }
            next = row + 1;
        }
        (next, batch.columns())
    }

    /// What the selection says of a manifest row; `None` for refusals.
    fn selected(&self, row: usize) -> Option<Selected> {
        let position_mm = *self.volumes.position_mm.get(row)?;
        let volume = self.volumes.starts.partition_point(|&start| start <= row) - 1;
        Some(Selected {
            row: row as u32,
            volume: volume as u32,
            slice_index: (row - self.volumes.starts[volume]) as u32,
            position_mm: (!position_mm.is_nan()).then_some(position_mm),
            exemplar: self.exemplar(row),
            similarity: self.similarity(row),
        })
    }
}

struct Batch<'a> {
    archive: &'a Archive,
    rows: Vec<RowView<'a>>,
    path_bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            rows: Vec::new(),
            path_bytes: 0,
        }
    }

    /// Add a row of the table; `false` when it no longer fits.
    fn add(&mut self, number: u32, selected: Option<Selected>) -> bool {
        let Archive { table, files, .. } = self.archive;
        let bytes = self.archive.fingerprint_bytes();
        let mut row = RowView::new(table, files, number, bytes, selected);
        if let Some(pseudonyms) = &self.archive.pseudonyms {
            pseudonyms.hide_path(&mut row);
        }
        self.path_bytes += row.source.len() + row.path.len();
        if self.path_bytes > MAX_PATH_BYTES && !self.rows.is_empty() {
            return false;
        }
        self.rows.push(row);
        true
    }

    fn columns(&self) -> RecordBatch {
        record_batch(&self.rows, self.archive.fingerprint_bytes())
    }
}

/// Refusals in the order of their paths.
pub(super) fn refusals(table: &Table, files: &Files) -> Vec<u32> {
    let refused = |state| {
        matches!(
            state,
            State::Skipped | State::Gated | State::Unsupported | State::Failed
        )
    };
    let numbers = (0u32..)
        .zip(table.rows())
        .filter(|(_, row)| refused(row.state))
        .map(|(number, _)| number);
    let mut refusals: Vec<u32> = numbers.collect();
    refusals.sort_by_cached_key(|&number| {
        let row = &table.rows()[number as usize];
        (
            files.source_of(row.file),
            NaturalPath(files.relative(row.file)),
            row.frame,
        )
    });
    refusals
}

/// A path that sorts in natural order.
#[derive(PartialEq, Eq)]
struct NaturalPath(String);

impl Ord for NaturalPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        natural::compare(&self.0, &other.0)
    }
}

impl PartialOrd for NaturalPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
