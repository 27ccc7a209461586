//! From the queue of files to rows.

use super::Archive;
use crate::discover::files::FileId;
use crate::error::ArchiveError;
use crate::fingerprint_file::{FileRows, Hasher, rows_of_file, without_pixels};
use crate::rows::row::{NewRow, Reader, Row, State};
use ctprune_core::pixels::SlicePixels;
use ctprune_dicom::code::{Code, Reason};
use ctprune_dicom::slice::{Refusal, SliceInfo};
use rayon::prelude::*;
use std::path::PathBuf;
use std::time::{Duration, Instant};

impl Archive {
    /// Read files for about this long; `false` when all are read.
    pub fn read(&mut self, time: Duration) -> Result<bool, ArchiveError> {
        let start = Instant::now();
        let mut portion = 8 * self.readers.count();
        while start.elapsed() < time {
            portion = portion.max(8 * self.readers.count());
            let batch = self.next..(self.next + portion).min(self.queue.len());
            if batch.is_empty() {
                if self.passes.is_empty() {
                    self.finish_reading();
                    return Ok(false);
                }
                self.step_pass(time.saturating_sub(start.elapsed()))?;
                continue;
            }
            let batch = self.queue[batch].to_vec();
            let (files, settings) = (&self.files, &self.settings);
            let before = Instant::now();
            let results: Vec<FileRows> = self.readers.install(&self.pool, || {
                let read = |&file: &FileId| rows_of_file(&files.locate(file), file, settings, None);
                batch.par_iter().with_max_len(1).map(read).collect()
            })?;
            self.next += batch.len();
            for (file, found) in batch.into_iter().zip(results) {
                match found {
                    FileRows::Rows(rows) => self.push_rows(file, rows)?,
                    FileRows::Container(container) => self.open_container(file, container)?,
                }
            }
            // Long enough that waiting for the slowest file costs little, short enough to stop quickly.
            if before.elapsed() < time / 8 {
                portion *= 2;
            }
        }
        Ok(true)
    }

    /// Take in what was read of a file.
    fn push_rows(&mut self, file: FileId, rows: Vec<NewRow>) -> Result<(), ArchiveError> {
        self.progress.bytes_read += self.files.stamp(file).size;
        self.take_rows(rows)
    }

    /// Take in the rows of a file whose bytes are counted elsewhere.
    pub(super) fn take_rows(&mut self, rows: Vec<NewRow>) -> Result<(), ArchiveError> {
        self.progress.files_read += 1;
        self.failures.tried += 1;
        if let Some(code) = rows.iter().find_map(failure) {
            self.failures.add(code);
        }
        rows.into_iter().try_for_each(|row| self.push(row))
    }

    pub(super) fn push(&mut self, mut row: NewRow) -> Result<(), ArchiveError> {
        if let Some(pseudonyms) = &mut self.pseudonyms {
            pseudonyms.hide(&mut row);
        }
        self.progress.slices_read += u64::from(row.content.is_ok());
        self.table.push(row)
    }

    /// DICOM files of this run that are of a kind unknown here, and not broken: another reader may try.
    pub fn unsupported(&mut self) -> Vec<FileId> {
        let first = self.earlier.rows;
        let rows = &self.table.rows()[first..];
        let mut start = first;
        // A file's rows stand together, in the order of reading.
        for of_file in rows.chunk_by(|a, b| a.file == b.file) {
            let has = |state| of_file.iter().any(|row: &Row| row.state == state);
            if has(State::Unsupported) && !has(State::Failed) {
                self.unsupported
                    .insert(of_file[0].file, start..start + of_file.len());
            }
            start += of_file.len();
        }
        let mut files: Vec<FileId> = self.unsupported.keys().copied().collect();
        files.sort_unstable();
        files
    }

    /// Files of which another reader (pydicom) has read slices, each once.
    pub fn foreign(&self) -> Vec<FileId> {
        let is_foreign = |row: &&Row| row.reader == Reader::Pydicom && row.state == State::Slice;
        let rows = self.table.rows().iter().filter(is_foreign);
        let mut files: Vec<FileId> = rows.map(|row| row.file).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// Take in a slice that another reader (pydicom) found in a file of [`Archive::unsupported`].
    pub fn add_foreign(
        &mut self,
        file: FileId,
        info: SliceInfo,
        pixels: &SlicePixels<'_>,
    ) -> Result<(), ArchiveError> {
        let content = Hasher::new(&self.settings)?
            .fingerprinted(pixels)
            .map_err(without_pixels);
        self.foreign.push(NewRow {
            file,
            reader: Reader::Pydicom,
            info,
            content,
        });
        Ok(())
    }

    /// End a file of [`Archive::unsupported`]: its rows give way to what the other reader found in it; or they stay,
    /// with what that reader `refused` it for, and a code where that says more.
    pub fn end_foreign(
        &mut self,
        file: FileId,
        refused: Option<(&str, Option<Code>)>,
    ) -> Result<(), ArchiveError> {
        let rows = self.unsupported.remove(&file);
        let found = std::mem::take(&mut self.foreign);
        let stray = found.iter().map(|row| row.file).find(|&other| other != file);
        let (Some(rows), None) = (rows, stray) else {
            let file = stray.unwrap_or(file);
            return Err(ArchiveError::NotUnsupported { file });
        };
        if let Some((reason, code)) = refused {
            let mut failed = None;
            for row in rows {
                if self.table.rows()[row].state == State::Unsupported {
                    self.table.refuse(row, reason, code);
                    failed = self
                        .table
                        .reason(&self.table.rows()[row])
                        .map(|reason| reason.code);
                }
            }
            if let Some(code) = failed {
                self.failures.add(code);
            }
            return Ok(());
        }
        if let Some(code) = found.iter().find_map(failure) {
            self.failures.add(code);
        }
        rows.for_each(|row| self.table.retire(row));
        found.into_iter().try_for_each(|row| self.push(row))
    }

    /// First failure in the order of reading: the file's address, and the reason.
    pub fn first_failure(&self) -> Option<(PathBuf, &Reason)> {
        let row = self
            .table
            .rows()
            .iter()
            .find(|row| matches!(row.state, State::Failed | State::Unsupported))?;
        Some((self.shown_path(row.file), self.table.reason(row)?))
    }
}

/// The code of a row of a file that could not be read.
fn failure(row: &NewRow) -> Option<Code> {
    match &row.content {
        Err(Refusal::Failed(error)) => Some(error.code()),
        _ => None,
    }
}
