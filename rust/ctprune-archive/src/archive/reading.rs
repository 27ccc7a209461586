//! From the queue of files to rows.

use super::Archive;
use crate::discover::files::FileId;
use crate::error::ArchiveError;
use crate::fingerprint_file::{self, Hasher};
use crate::rows::row::{NewRow, Reader, Row, State};
use ctprune_core::pixels::SlicePixels;
use ctprune_dicom::slice::{Refusal, SliceInfo};
use rayon::prelude::*;
use std::path::PathBuf;
use std::time::{Duration, Instant};

impl Archive {
    /// Read files for about this long; `false` when all are read.
    pub fn read(&mut self, time: Duration) -> Result<bool, ArchiveError> {
        let start = Instant::now();
        let mut portion = 8 * self.pool.current_num_threads();
        while start.elapsed() < time {
            let done = self.progress.files_read as usize;
            let batch = &self.queue[done..(done + portion).min(self.queue.len())];
            if batch.is_empty() {
                return Ok(false);
            }
            let (files, settings) = (&self.files, &self.settings);
            let before = Instant::now();
            let results: Vec<Vec<NewRow>> = self.pool.install(|| {
                let read =
                    |&file: &FileId| fingerprint_file::rows_of_file(&files.absolute(file), file, settings);
                batch.par_iter().with_max_len(1).map(read).collect()
            });
            self.progress.files_read += batch.len() as u64;
            self.progress.bytes_read += batch.iter().map(|&file| files.stamp(file).size).sum::<u64>();
            for row in results.into_iter().flatten() {
                self.push(row)?;
            }
            // Long enough that waiting for the slowest file costs little, short enough to stop quickly.
            if before.elapsed() < time / 8 {
                portion *= 2;
            }
        }
        Ok((self.progress.files_read as usize) < self.queue.len())
    }

    fn push(&mut self, row: NewRow) -> Result<(), ArchiveError> {
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

    /// Take in a slice that another reader (pydicom) found in a file of [`Archive::unsupported`].
    pub fn add_foreign(
        &mut self,
        file: FileId,
        info: SliceInfo,
        pixels: &SlicePixels<'_>,
    ) -> Result<(), ArchiveError> {
        let content = Hasher::new(&self.settings)?
            .fingerprinted(pixels)
            .map_err(|error| Refusal::Failed(error.to_string().into()));
        self.foreign.push(NewRow {
            file,
            reader: Reader::Pydicom,
            info,
            content,
        });
        Ok(())
    }

    /// End a file of [`Archive::unsupported`]: its rows give way to what the other reader found in it; or they stay,
    /// with what that reader `refused` it for.
    pub fn end_foreign(&mut self, file: FileId, refused: Option<&str>) -> Result<(), ArchiveError> {
        let rows = self.unsupported.remove(&file);
        let found = std::mem::take(&mut self.foreign);
        let stray = found.iter().map(|row| row.file).find(|&other| other != file);
        let (Some(rows), None) = (rows, stray) else {
            let file = stray.unwrap_or(file);
            return Err(ArchiveError::NotUnsupported { file });
        };
        if let Some(reason) = refused {
            for row in rows {
                if self.table.rows()[row].state == State::Unsupported {
                    self.table.refuse(row, reason);
                }
            }
            return Ok(());
        }
        rows.for_each(|row| self.table.retire(row));
        found.into_iter().try_for_each(|row| self.push(row))
    }

    /// First failure in the order of reading: where the file is, and the reason.
    pub fn first_failure(&self) -> Option<(PathBuf, String)> {
        let row = self
            .table
            .rows()
            .iter()
            .find(|row| matches!(row.state, State::Failed | State::Unsupported))?;
        Some((self.files.absolute(row.file), self.table.reason(row).to_owned()))
    }
}
