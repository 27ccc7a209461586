//! Files on other machines: somebody else lists them and hands over their bytes.

use super::Archive;
use crate::discover::files::{FileId, Stamp};
use crate::discover::location::Location;
use crate::discover::walk::Found;
use crate::error::ArchiveError;
use crate::fingerprint_file::{refusal, rows_of_bytes};
use crate::rows::row::{NewRow, Reader};
use ctprune_dicom::error::ReadError;
use rayon::prelude::*;
use std::ops::Range;
use std::path::PathBuf;

impl Archive {
    /// Take in a file of another machine, by its path relative to a source, which is an address.
    pub fn add_found(&mut self, source: &str, path: &str, stamp: Stamp) -> Result<(), ArchiveError> {
        let source = self.files.source(PathBuf::from(source));
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.files.folder(source, folder);
        self.note(Found::File { folder, name, stamp })
    }

    /// Some of the files of other machines that are to be read, in order; fewer at the end.
    pub fn remote(&self, range: Range<usize>) -> impl Iterator<Item = (FileId, Location, Stamp)> + '_ {
        let stop = range.end.min(self.remote.len());
        let files = &self.remote[range.start.min(stop)..stop];
        files
            .iter()
            .map(|&file| (file, self.files.locate(file), self.files.stamp(file)))
    }

    /// Read files of other machines from their bytes, or note why there are none.
    pub fn read_remote<B>(&mut self, found: Vec<(FileId, Result<B, ReadError>)>) -> Result<(), ArchiveError>
    where
        B: AsRef<[u8]> + Send + Sync,
    {
        let (files, settings) = (&self.files, &self.settings);
        let read = |(file, bytes): &(FileId, Result<B, ReadError>)| match bytes {
            Ok(bytes) => rows_of_bytes(files.name(*file), bytes.as_ref(), *file, settings),
            Err(error) => vec![refusal(*file, Reader::None, error.clone().into())],
        };
        let rows: Vec<Vec<NewRow>> = self
            .pool
            .install(|| found.par_iter().with_max_len(1).map(read).collect());
        self.progress.bytes_read += found
            .iter()
            .map(|(file, _)| self.files.stamp(*file).size)
            .sum::<u64>();
        rows.into_iter().try_for_each(|rows| self.take_rows(rows))
    }
}
