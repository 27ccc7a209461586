//! What earlier tables knew of files, so that unchanged ones need not be read again.

use super::Archive;
use super::changes::Decisions;
use crate::discover::files::{FileId, Files, Stamp};
use crate::discover::location::is_remote;
use crate::error::ArchiveError;
use crate::rows::batch::for_each_row;
use crate::rows::row::NewRow;
use crate::rows::view::{Status, StoredRow};
use arrow_array::RecordBatch;
use ctprune_dicom::code::{Code, Reason};
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::Refusal;
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::{Path, PathBuf};

/// Why a container that one pass has read has a row: with it the next run knows that nothing more is in it.
pub(super) const READ_TO_END: &str = "archive whose files have rows of their own";

/// The file was found again.
const SEEN: u8 = 1;
/// What was read of it can be taken over.
const REUSABLE: u8 = 2;
/// Its size and time are still those that the first table knew.
const SAME: u8 = 4;

/// The files of earlier tables come first in [`Files`]. There may be many millions: a file costs a byte here.
#[derive(Default)]
pub(super) struct Earlier {
    pub rows: usize,
    /// What the earlier selection decided.
    pub decisions: Decisions,
    /// Whether rows are taken as they are: refusals too, and of two tables what the later file has.
    is_whole: bool,
    /// Number of the table that rows are taken from now, and its first row.
    table: u32,
    table_start: usize,
    /// The first file of each table that knew files which no table before did, and the table: later ones are older.
    first_files: Vec<(FileId, u32)>,
    /// Files that belong to another table by now.
    moved: FxHashMap<FileId, u32>,
    /// What is known of each file: [`SEEN`], [`REUSABLE`], [`SAME`].
    flags: Vec<u8>,
    /// Rows of these files before this one are not to be used: a table after had the file as it was later.
    outdated: FxHashMap<FileId, usize>,
    /// By the source in a table the one that it belongs to now, and what to put before paths.
    homes: FxHashMap<String, (u32, String)>,
    /// Number of sources that this run has declared; those that only tables name follow.
    pub declared: u32,
    /// Containers that one pass has read to the end.
    read_to_end: FxHashSet<FileId>,
}

impl Earlier {
    fn file(&mut self, files: &mut Files, folder: u32, name: &str, stamp: Stamp) -> FileId {
        if let Some(file) = files.find(folder, name) {
            return file;
        }
        let file = files.push(folder, name, stamp);
        if self
            .first_files
            .last()
            .is_none_or(|&(_, table)| table != self.table)
        {
            self.first_files.push((file, self.table));
        }
        self.flags.push(REUSABLE | SAME);
        files.index(file);
        file
    }

    /// The table whose rows of a file hold.
    fn table_of(&self, file: FileId) -> u32 {
        let of_first = || {
            let after = self.first_files.partition_point(|&(first, _)| first <= file);
            self.first_files[after - 1].1
        };
        self.moved.get(&file).copied().unwrap_or_else(of_first)
    }

    fn has(&self, file: FileId, flags: u8) -> bool {
        self.flags[file as usize] & flags == flags
    }

    /// A known file was found again; returns whether its rows can be taken over.
    pub fn see(&mut self, file: FileId, unchanged: bool) -> bool {
        let flags = &mut self.flags[file as usize];
        *flags |= SEEN;
        if !unchanged {
            *flags &= !(SAME | REUSABLE);
        }
        self.has(file, REUSABLE)
    }

    /// Whether a file, known or not, is as the first table knew it.
    pub fn is_same(&self, file: FileId) -> bool {
        self.flags
            .get(file as usize)
            .is_some_and(|flags| flags & SAME != 0)
    }

    /// All known files are there, and as they were.
    pub fn see_all(&mut self) {
        self.flags.iter_mut().for_each(|flags| *flags |= SEEN | REUSABLE);
    }

    /// Take nothing over of this file.
    pub fn forget(&mut self, file: FileId) {
        if let Some(flags) = self.flags.get_mut(file as usize) {
            *flags &= !REUSABLE;
        }
    }

    /// Whether the file is a container of which all members are known.
    pub fn is_read_to_end(&self, file: FileId) -> bool {
        self.read_to_end.contains(&file)
    }

    /// Number of files known.
    pub fn files(&self) -> FileId {
        self.flags.len() as FileId
    }

    /// Whether the rows of a file could be taken over if it is found again.
    pub fn is_reusable(&self, file: FileId) -> bool {
        self.has(file, REUSABLE)
    }

    /// Whether the rows of a file are taken over.
    pub fn is_reused(&self, file: FileId) -> bool {
        self.has(file, SEEN | REUSABLE)
    }

    /// Number of files that were not found again, but for those that may still be.
    pub fn vanished(&self, waits: impl Fn(FileId) -> bool) -> usize {
        let files = (0..self.files()).filter(|&file| !self.has(file, SEEN));
        files.filter(|&file| !waits(file)).count()
    }

    /// The source that a table's source belongs to now, and what to put before paths: if it is no source of this run,
    /// it may lie in one. Files that are named as sources have their folder as source, so sources can lie in each other.
    fn home(&mut self, files: &mut Files, source: &str) -> (u32, String) {
        if let Some(home) = self.homes.get(source) {
            return home.clone();
        }
        let root = Path::new(source);
        let outer = root.ancestors().find_map(|outer| {
            let number = files
                .find_source(outer)
                .filter(|number| outer == root || *number < self.declared)?;
            let parts = root.strip_prefix(outer).ok()?.components();
            let parts = parts.map(|part| part.as_os_str().to_str());
            let prefix = parts.collect::<Option<Vec<&str>>>()?;
            Some((number, prefix.iter().map(|part| format!("{part}/")).collect()))
        });
        let home = outer.unwrap_or_else(|| (files.source(PathBuf::from(source)), String::new()));
        self.homes.insert(source.to_owned(), home.clone());
        home
    }
}

impl Archive {
    /// Go on to another earlier table, older than those before; what those knew of a file holds.
    pub fn begin_earlier(&mut self) {
        self.earlier.table += 1;
        self.earlier.table_start = self.table.rows().len();
    }

    /// Take earlier tables as they are, refusals too; where two know a file, the later state of it holds. Before any is
    /// taken over; [`Archive::finish_without_discovery`] ends it.
    pub fn take_whole(&mut self) {
        self.earlier.is_whole = true;
    }

    /// Take over rows of an earlier table; before any source is walked.
    pub fn add_earlier(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        for_each_row(batch, |row| self.add_earlier_row(row))?;
        self.earlier.rows = self.table.rows().len();
        Ok(())
    }

    fn add_earlier_row(&mut self, mut row: StoredRow) -> Result<(), ArchiveError> {
        if !self.own_names(&mut row) {
            return Ok(());
        }
        let (source, prefix) = self.earlier.home(&mut self.files, &row.source);
        let path = match prefix.as_str() {
            "" => row.path,
            prefix => format!("{prefix}{}", row.path),
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let folder = self.files.folder(source, folder);
        if self
            .shard
            .is_some_and(|shard| !shard.holds(&self.files.address(folder, name)))
        {
            return Ok(());
        }
        let file = self.earlier.file(&mut self.files, folder, name, row.stamp);
        let is_decided = matches!(row.status, Some(Status::Kept | Status::Dropped)) && !self.earlier.is_whole;
        let decision = is_decided.then(|| self.earlier.decisions.push(row.exemplar));
        if self.earlier.table_of(file) != self.earlier.table {
            let known = self.files.stamp(file);
            if let Some(decision) = decision {
                let unchanged = known == row.stamp;
                let frame = row.info.frame;
                self.earlier.decisions.lend((file, frame), decision, unchanged);
            }
            // The version of an object says which one it is, not how old: what was given last holds.
            let is_later = row.stamp.version > known.version && !is_remote(&row.source);
            if !self.earlier.is_whole || !is_later {
                return Ok(());
            }
            self.files.set_stamp(file, row.stamp);
            self.earlier.moved.insert(file, self.earlier.table);
            self.earlier.outdated.insert(file, self.earlier.table_start);
        }
        let reader = row.reader;
        if row.code == Some(Code::Archive) {
            self.earlier.read_to_end.insert(file);
        }
        let content = match (row.status, row.code) {
            // What a gate left out is a slice again: whether it stays out is for this run's gates.
            (Some(Status::Skipped), Some(code))
                if code.is_gate() && row.fingerprinted.fingerprint.len() == self.table.words() =>
            {
                Ok(row.fingerprinted)
            }
            (Some(Status::Skipped), Some(code))
                if self.earlier.is_whole || !matches!(code, Code::Excluded | Code::NotIncluded) =>
            {
                Err(Refusal::skipped(code, row.reason))
            }
            (Some(Status::Failed), Some(code)) if self.earlier.is_whole => {
                Err(Refusal::Failed(ReadError::Other(Reason::new(code, row.reason))))
            }
            (Some(status), _)
                if status.is_slice() && row.fingerprinted.fingerprint.len() == self.table.words() =>
            {
                Ok(row.fingerprinted)
            }
            // A failure is tried again; of a file that was excluded nothing is known.
            _ => {
                self.earlier.forget(file);
                return Ok(());
            }
        };
        if let Some(decision) = decision {
            self.earlier
                .decisions
                .belongs_to(self.table.rows().len(), decision);
        }
        self.table.push(NewRow {
            file,
            reader,
            info: row.info,
            content,
        })
    }

    /// Drop the rows of files that a table after had as they were later.
    pub(super) fn retire_outdated(&mut self) {
        if self.earlier.outdated.is_empty() {
            return;
        }
        for row in 0..self.earlier.rows {
            let file = self.table.rows()[row].file;
            if self.earlier.outdated.get(&file).is_some_and(|&end| row < end) {
                self.table.retire(row);
            }
        }
    }
}
