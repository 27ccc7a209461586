//! DICOMDIRs where there is no folder to look into: in containers, and on other machines.

use super::Archive;
use crate::discover::dicomdir::listed_among;
use crate::discover::files::Stamp;
use crate::discover::walk::Found;
use crate::error::ArchiveError;
use ctprune_containers::listing::names_of;
use ctprune_containers::open::Container;
use ctprune_containers::remote::read_by_name;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::Refusal;
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};

impl Archive {
    /// Take in what a DICOMDIR of another machine lists, and nothing else.
    ///
    /// `path` is its own path relative to the source; `found` are the paths of what it may mean, with their stamps.
    pub fn add_found_dicomdir(
        &mut self,
        source: &str,
        path: &str,
        bytes: &[u8],
        found: &[(String, Stamp)],
    ) -> Result<(), ArchiveError> {
        let folder = folder_of(path);
        let stamps: FxHashMap<&str, Stamp> = found
            .iter()
            .filter_map(|(other, stamp)| Some((other.strip_prefix(folder)?, *stamp)))
            .collect();
        let listed = match listed_among(bytes, stamps.keys().copied()) {
            Ok(listed) => listed,
            Err(error) => return self.refuse_found(source, path, error),
        };
        for (below, result) in listed {
            let path = format!("{folder}{below}");
            match (result, stamps.get(below.as_str())) {
                (Ok(()), Some(&stamp)) => self.add_found(source, &path, stamp)?,
                (Ok(()), None) => {
                    self.refuse_found(source, &path, ReadError::Invalid("not a regular file"))?
                }
                (Err(error), _) => self.refuse_found(source, &path, error)?,
            }
        }
        Ok(())
    }

    /// Read what a DICOMDIR in a container of this machine lists, and nothing else.
    pub(super) fn add_dicomdir_member(&mut self, path: &Path, name: &str) -> Result<(), ArchiveError> {
        let folder = folder_of(name);
        let options = &self.settings.read;
        let listed = Container::open(path).and_then(|container| {
            let bytes = read_by_name(&container, name, options)?;
            let names = names_of(&container, options);
            let below = names.iter().filter_map(|other| other.strip_prefix(folder));
            listed_among(&bytes, below).map_err(Refusal::from)
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(refusal) => return self.refuse_named_member(path, name, refusal),
        };
        for (below, result) in listed {
            let name = format!("{folder}{below}");
            match result {
                Ok(()) => self.add_member(path, &name)?,
                Err(error) => self.refuse_named_member(path, &name, error.into())?,
            }
        }
        Ok(())
    }

    fn refuse_found(&mut self, source: &str, path: &str, error: ReadError) -> Result<(), ArchiveError> {
        let source = self.files.source(PathBuf::from(source));
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.files.folder(source, folder);
        self.note(Found::Problem {
            folder,
            name,
            refusal: error.into(),
        })
    }
}

/// What a path begins with that lies in the same folder, its slash included.
fn folder_of(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |at| at + 1)]
}
