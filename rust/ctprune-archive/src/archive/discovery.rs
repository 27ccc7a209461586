//! From sources to a queue of files to read.

use super::Archive;
use crate::discover::dicomdir::{Listed, is_dicomdir};
use crate::discover::files::{FileId, Files, Stamp};
use crate::discover::location::Location;
use crate::discover::shard::Shard;
use crate::discover::walk::{self, Found};
use crate::error::ArchiveError;
use crate::fingerprint_file::refusal;
use crate::rows::row::Reader;
use ctprune_dicom::slice::Refusal;
use regex::Regex;
use std::path::Path;
use std::time::{Duration, Instant};

impl AsMut<Files> for Archive {
    fn as_mut(&mut self) -> &mut Files {
        &mut self.files
    }
}

impl Archive {
    /// Do not read files whose path relative to their source matches; before any source is walked. What an earlier
    /// manifest knew of them is not taken over.
    pub fn exclude(&mut self, pattern: Regex, glob: &str) {
        self.exclusions.add(pattern, glob);
    }

    /// Read only files whose path relative to their source matches this pattern or another one given so; before any
    /// source is walked.
    pub fn include(&mut self, pattern: Regex) {
        self.exclusions.include(pattern);
    }

    /// Declare a source, before earlier tables are taken over: sources come in this order, whatever those hold.
    /// A file's source is its folder.
    pub fn declare_source(&mut self, root: &Path) {
        let number = self.files.source(root.to_path_buf());
        self.earlier.declared = self.earlier.declared.max(number + 1);
    }

    /// Leave all files to others but those of this share; before anything is taken over.
    pub fn set_shard(&mut self, shard: Shard) {
        self.shard = Some(shard);
        self.walker.set_shard(shard);
    }

    /// Walk this folder too; the path is absolute.
    pub fn add_source(&mut self, root: &Path) {
        self.walker.add(&mut self.files, root);
    }

    /// Read this file too, or this member of a container; the address is absolute and its folder counts as the source.
    pub fn add_file(&mut self, file: &Path) -> Result<(), ArchiveError> {
        if let Location::Member { container, member } = Location::parse(file) {
            if is_dicomdir(member.rsplit('/').next().unwrap_or_default()) {
                return self.add_dicomdir_member(&container, &member);
            }
            return self.add_member(&container, &member);
        }
        let (folder, name, stamp) = self.named_file(file)?;
        if is_dicomdir(&name) {
            return self.add_dicomdir(file, folder, &name);
        }
        self.note(Found::File {
            folder,
            name: &name,
            stamp,
        })
    }

    /// Read what a DICOMDIR lists, and nothing else.
    fn add_dicomdir(&mut self, file: &Path, folder: u32, name: &str) -> Result<(), ArchiveError> {
        match Listed::read(file, self.files.source_of_folder(folder)) {
            Ok(listed) => {
                self.listed.push_back(listed);
                Ok(())
            }
            Err(error) => self.note(Found::Problem {
                folder,
                name,
                refusal: error.into(),
            }),
        }
    }

    /// Look for some of the files that a DICOMDIR lists; `false` when there is none left.
    fn step_listed(&mut self) -> Result<bool, ArchiveError> {
        let Some(mut listed) = self.listed.pop_front() else {
            return Ok(false);
        };
        let mut noted = Ok(());
        let more = listed.step(self, &mut |archive, found| {
            if noted.is_ok() {
                noted = archive.note(found);
            }
        });
        noted?;
        if more {
            self.listed.push_front(listed);
        }
        Ok(true)
    }

    /// Number of the folder of a file that was named, and the file's name and stamp.
    pub(super) fn named_file(&mut self, file: &Path) -> Result<(u32, String, Stamp), ArchiveError> {
        let name = file.file_name().and_then(|name| name.to_str());
        let (Some(root), Some(name)) = (file.parent(), name) else {
            let file = file.to_path_buf();
            return Err(ArchiveError::NotAFileName { file });
        };
        let meta = std::fs::metadata(file).map_err(|found| ArchiveError::Unexaminable {
            file: file.to_path_buf(),
            found,
        })?;
        let source = self.files.source(root.to_path_buf());
        let folder = self.files.folder(source, "");
        Ok((folder, name.to_owned(), walk::stamp(&meta)))
    }

    /// Walk for about this long; `false` when every folder is listed.
    pub fn discover(&mut self, time: Duration) -> Result<bool, ArchiveError> {
        let start = Instant::now();
        while start.elapsed() < time {
            let mut walker = std::mem::take(&mut self.walker);
            let mut noted = Ok(());
            let more = walker.step(self, &mut |archive, found| {
                if noted.is_ok() {
                    noted = archive.note(found);
                }
            });
            self.walker = walker;
            noted?;
            if !more && !self.step_listed()? && !self.open_promised()? {
                self.finish_discovery();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All that the walk finds is found: what an earlier run knew and is gone can be counted, apart from members of
    /// containers that are still to be read.
    pub fn finish_discovery(&mut self) {
        let files = &self.files;
        let waits = |file| files.is_member(file);
        self.progress.files_vanished = self.earlier.vanished(waits) as u64;
    }

    /// All is read, members of containers too: drop the rows of files that changed or vanished.
    pub(super) fn finish_reading(&mut self) {
        if std::mem::replace(&mut self.is_read, true) {
            return;
        }
        for row in 0..self.earlier.rows {
            if !self.earlier.is_reused(self.table.rows()[row].file) {
                self.table.retire(row);
            }
        }
        self.progress.files_vanished = self.earlier.vanished(|_| false) as u64;
        self.files.drop_index();
    }

    /// Take all that earlier tables know for what there is: no source is walked.
    pub fn finish_without_discovery(&mut self) {
        self.earlier.see_all();
        let files = self.files.len() as u64;
        self.progress.files_found = files;
        self.progress.files_reused = files;
        self.retire_outdated();
        self.finish_discovery();
        self.finish_reading();
    }

    /// Take in one thing that was found, and read it later if it is to be read.
    pub fn note(&mut self, found: Found<'_>) -> Result<(), ArchiveError> {
        if let Some(file) = self.take_in(found)? {
            self.enqueue(file);
        }
        Ok(())
    }

    /// Read this file later.
    pub(super) fn enqueue(&mut self, file: FileId) {
        if self.files.is_remote(file) {
            self.remote.push(file);
        } else {
            self.queue.push(file);
        }
        self.progress.files_to_read += 1;
        self.progress.bytes_to_read += self.files.stamp(file).size;
    }

    /// Take in one thing that was found; with its number, if it is to be read.
    pub(super) fn take_in(&mut self, found: Found<'_>) -> Result<Option<FileId>, ArchiveError> {
        self.progress.files_found += 1;
        let (Found::File { folder, name, .. } | Found::Problem { folder, name, .. }) = &found;
        if self
            .shard
            .is_some_and(|shard| !shard.holds(&self.files.address(*folder, name)))
        {
            return Ok(None);
        }
        match found {
            Found::Problem {
                folder,
                name,
                refusal: reason,
            } => {
                if let Refusal::Failed(error) = &reason {
                    self.failures.tried += 1;
                    self.failures.add(error.code());
                }
                let known = self.files.find(folder, name);
                if let Some(file) = known {
                    self.earlier.see(file, false);
                    // What it was when it was a file is none of its row's business.
                    self.files.set_stamp(file, Default::default());
                }
                let file = known.unwrap_or_else(|| self.files.push(folder, name, Default::default()));
                self.table.push(refusal(file, Reader::None, reason))?;
                Ok(None)
            }
            Found::File { folder, name, stamp } => {
                let known = self.files.find(folder, name);
                let file = known.unwrap_or_else(|| self.files.push(folder, name, stamp));
                let path = if self.exclusions.is_empty() {
                    String::new()
                } else {
                    self.files.relative(file)
                };
                let excluded = self.exclusions.reason(&path);
                if known.is_some() {
                    let unchanged = excluded.is_none() && self.files.stamp(file) == stamp;
                    if self.earlier.see(file, unchanged) {
                        if !self.earlier.is_read_to_end(file) {
                            self.progress.files_reused += 1;
                            return Ok(None);
                        }
                        if self.reuse_members(file, stamp) {
                            return Ok(None);
                        }
                        self.earlier.forget(file);
                    }
                    self.files.set_stamp(file, stamp);
                }
                if let Some(reason) = excluded {
                    self.table
                        .push(refusal(file, Reader::None, Refusal::Skipped(reason)))?;
                    return Ok(None);
                }
                Ok(Some(file))
            }
        }
    }
}
