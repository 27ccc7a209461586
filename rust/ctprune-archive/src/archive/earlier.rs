//! What earlier tables knew of files, so that unchanged ones need not be read again.

use super::Archive;
use crate::discover::exclusions::EXCLUDED;
use crate::discover::files::{FileId, Files, Stamp};
use crate::error::ArchiveError;
use crate::rows::batch::for_each_row;
use crate::rows::row::NewRow;
use crate::rows::view::{Status, StoredRow};
use arrow_array::RecordBatch;
use ctprune_dicom::slice::Refusal;
use std::path::PathBuf;

/// The files of earlier tables come first in [`Files`].
#[derive(Default)]
pub(super) struct Earlier {
    pub rows: usize,
    /// Number of the table that rows are taken from now.
    table: u32,
    /// For each file the first table that knew it: later ones are older.
    table_of: Vec<u32>,
    seen: Vec<bool>,
    reusable: Vec<bool>,
}

impl Earlier {
    fn file(&mut self, files: &mut Files, folder: u32, name: &str, stamp: Stamp) -> FileId {
        if let Some(file) = files.find(folder, name) {
            return file;
        }
        self.table_of.push(self.table);
        self.seen.push(false);
        self.reusable.push(true);
        let file = files.push(folder, name, stamp);
        files.index(file);
        file
    }

    /// A known file was found again; returns whether its rows can be taken over.
    pub fn see(&mut self, file: FileId, unchanged: bool) -> bool {
        let file = file as usize;
        self.seen[file] = true;
        self.reusable[file] &= unchanged;
        self.reusable[file]
    }

    /// Whether the rows of a file are taken over.
    pub fn is_reused(&self, file: FileId) -> bool {
        self.seen[file as usize] && self.reusable[file as usize]
    }

    /// Number of files that were not found again.
    pub fn vanished(&self) -> usize {
        self.seen.iter().filter(|seen| !**seen).count()
    }
}

impl Archive {
    /// Go on to another earlier table, older than those before; what those knew of a file holds.
    pub fn begin_earlier(&mut self) {
        self.earlier.table += 1;
    }

    /// Take over rows of an earlier table; before any source is walked.
    pub fn add_earlier(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        for_each_row(batch, |row| self.add_earlier_row(row))?;
        self.earlier.rows = self.table.rows().len();
        Ok(())
    }

    fn add_earlier_row(&mut self, row: StoredRow) -> Result<(), ArchiveError> {
        let source = self.files.source(PathBuf::from(&row.source));
        let (folder, name) = row.path.rsplit_once('/').unwrap_or(("", &row.path));
        let folder = self.files.folder(source, folder);
        let file = self.earlier.file(&mut self.files, folder, name, row.stamp);
        if self.earlier.table_of[file as usize] != self.earlier.table {
            return Ok(());
        }
        let reader = row.reader;
        let content = match row.status {
            Some(Status::Skipped) if !row.reason.starts_with(EXCLUDED) => Err(Refusal::Skipped(row.reason)),
            Some(status)
                if status.is_slice() && row.fingerprinted.fingerprint.len() == self.table.words() =>
            {
                Ok(row.fingerprinted)
            }
            // A failure is tried again; of a file that was excluded nothing is known.
            _ => {
                self.earlier.reusable[file as usize] = false;
                return Ok(());
            }
        };
        self.table.push(NewRow {
            file,
            reader,
            info: row.info,
            content,
        })
    }
}
