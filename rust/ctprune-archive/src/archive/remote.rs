//! Files on other machines: somebody else lists them and hands over their bytes.

use super::Archive;
use super::member_root::{DOUBTFUL, MemberRoot};
use super::passes::OpenPass;
use crate::discover::files::{FileId, Stamp};
use crate::discover::location::Location;
use crate::discover::walk::Found;
use crate::error::ArchiveError;
use crate::fingerprint_file::{refusal, rows_of_bytes};
use crate::rows::row::{NewRow, Reader};
use ctprune_containers::feed::Feed;
use ctprune_containers::index::{Index, failed};
use ctprune_containers::open::{Container, kind_of, too_deep};
use ctprune_containers::promised_kind;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::read::HEAD_BYTES;
use ctprune_dicom::slice::Refusal;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Stands between a container and its members.
const MARK: &str = "!/";

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
    ///
    /// Members of containers that are containers are opened. Others that turn out to be some are left for
    /// [`Archive::take_remote_containers`].
    pub fn read_remote<B>(&mut self, found: Vec<(FileId, Result<B, ReadError>)>) -> Result<(), ArchiveError>
    where
        B: AsRef<[u8]> + Send + Sync,
    {
        self.progress.bytes_read += found
            .iter()
            .map(|(file, _)| self.files.stamp(*file).size)
            .sum::<u64>();
        let is_container = |(_, bytes): &(FileId, Result<B, ReadError>)| {
            let head = bytes.as_ref().map(|bytes| head_of(bytes.as_ref()));
            head.is_ok_and(|head| kind_of(head).is_some())
        };
        let (containers, files): (Vec<_>, Vec<_>) = found.into_iter().partition(is_container);
        self.read_files_of_bytes(&files)?;
        for (file, bytes) in containers {
            match (self.files.is_member(file), bytes) {
                (true, Ok(bytes)) => self.open_remote_member(file, bytes.as_ref().to_vec())?,
                _ => {
                    self.progress.bytes_read -= self.files.stamp(file).size;
                    self.remote_containers.push(file);
                }
            }
        }
        Ok(())
    }

    fn read_files_of_bytes<B>(&mut self, found: &[(FileId, Result<B, ReadError>)]) -> Result<(), ArchiveError>
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
        rows.into_iter().try_for_each(|rows| self.take_rows(rows))
    }

    /// A member of a container of another machine is one itself, and in memory.
    fn open_remote_member(&mut self, file: FileId, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        let name = self.files.relative(file);
        if name.matches(MARK).count() > 1 {
            return self.take_rows(vec![refusal(file, Reader::None, too_deep())]);
        }
        match Container::of_memory(bytes, self.files.name(file)) {
            Err(reason) => self.take_rows(vec![refusal(file, Reader::None, reason)]),
            Ok(container) => {
                self.progress.files_to_read -= 1;
                let outer = MemberRoot {
                    file,
                    source: self.files.source_of(file),
                    prefix: String::new(),
                    version: self.files.stamp(file).version,
                };
                self.open_in_memory(&outer, file, Arc::new(container), &BTreeSet::new())
            }
        }
    }

    /// Files of other machines that are containers by their names, or were found to be some; each is given once.
    pub fn take_remote_containers(&mut self) -> Vec<(FileId, Location, Stamp)> {
        let files = &self.files;
        let is_promised = |file: &mut FileId| {
            promised_kind(files.name(*file)).is_some()
                && !files.is_member(*file)
                && files.stamp(*file).size > 0
        };
        let mut found: Vec<FileId> = self.remote.extract_if(.., is_promised).collect();
        found.append(&mut self.remote_containers);
        found
            .into_iter()
            .map(|file| (file, files.locate(file), files.stamp(file)))
            .collect()
    }

    /// One of those is none: read it like other files.
    pub fn put_back_remote(&mut self, file: FileId) {
        self.remote.push(file);
    }

    /// A file elsewhere cannot be read, for this reason; a container without any, since its addresses would have two
    /// meanings.
    pub fn refuse_remote(&mut self, file: FileId, reason: Option<ReadError>) -> Result<(), ArchiveError> {
        let root = self.root_of(file);
        let reason = reason.map_or_else(|| failed(DOUBTFUL), Refusal::from);
        self.failures.tried += 1;
        if let Refusal::Failed(error) = &reason {
            self.failures.add(error.code());
        }
        self.refuse_container(&root, reason)
    }

    /// One of those is a zip file with this directory: its members are files of other machines.
    pub fn open_remote_zip(&mut self, file: FileId, index: &Index) -> Result<(), ArchiveError> {
        let root = self.root_of(file);
        self.add_members(&root, index)
    }

    /// One of those is a tar file, which a feed will give: its members are read as they come, by [`Archive::read`].
    pub fn open_remote_tar(
        &mut self,
        file: FileId,
        feed: Arc<Feed>,
        head: &[u8],
    ) -> Result<(), ArchiveError> {
        let size = self.files.stamp(file).size;
        let container = Container::of_feed(feed, size, head_of(head), self.files.name(file));
        let root = self.root_of(file);
        match container {
            Err(reason) => self.refuse_container(&root, reason),
            Ok(container) => {
                self.progress.bytes_to_read += size;
                let container = Arc::new(container);
                self.passes.push(OpenPass::new(root, container, BTreeSet::new()));
                Ok(())
            }
        }
    }
}

fn head_of(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(HEAD_BYTES)]
}
