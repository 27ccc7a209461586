//! From sources to a queue of files to read.

use super::Archive;
use crate::discover::files::Files;
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

    /// Walk this folder too; the path is absolute.
    pub fn add_source(&mut self, root: &Path) {
        self.walker.add(&mut self.files, root);
    }

    /// Read this file too; the path is absolute and its folder counts as the source.
    pub fn add_file(&mut self, file: &Path) -> Result<(), ArchiveError> {
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
        self.note(Found::File {
            folder,
            name,
            stamp: walk::stamp(&meta),
        })
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
            if !more {
                self.finish_discovery();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All is found: drop the rows of files that changed or vanished.
    pub fn finish_discovery(&mut self) {
        for row in 0..self.earlier.rows {
            if !self.earlier.is_reused(self.table.rows()[row].file) {
                self.table.retire(row);
            }
        }
        self.progress.files_vanished = self.earlier.vanished() as u64;
        self.files.drop_index();
    }

    /// Take in one thing that was found.
    pub fn note(&mut self, found: Found<'_>) -> Result<(), ArchiveError> {
        self.progress.files_found += 1;
        match found {
            Found::Problem {
                folder,
                name,
                refusal: reason,
            } => {
                let known = self.files.find(folder, name);
                if let Some(file) = known {
                    self.earlier.see(file, false);
                }
                let file = known.unwrap_or_else(|| self.files.push(folder, name, Default::default()));
                self.table.push(refusal(file, Reader::None, reason))
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
                        self.progress.files_reused += 1;
                        return Ok(());
                    }
                    self.files.set_stamp(file, stamp);
                }
                if let Some(reason) = excluded {
                    let reason = Refusal::Skipped(reason.to_owned());
                    return self.table.push(refusal(file, Reader::None, reason));
                }
                self.queue.push(file);
                self.progress.files_to_read += 1;
                self.progress.bytes_to_read += stamp.size;
                Ok(())
            }
        }
    }
}
