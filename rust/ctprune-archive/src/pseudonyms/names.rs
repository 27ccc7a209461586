//! The files behind pseudonyms: the sources are listed again, and each path's pseudonym is compared.

use crate::discover::files::{FileId, Files};
use crate::discover::walk::{Found, Walker};
use crate::pseudonyms::key::{Key, hash_in};
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};

/// All files of some sources by the hash of their paths' pseudonyms.
pub struct Names {
    files: Files,
    sources: FxHashMap<String, u32>,
    by_hash: FxHashMap<(u32, u128), FileId>,
}

impl Names {
    /// List these sources, folders or files, given as for a reduction.
    pub fn of(key: &Key, sources: &[PathBuf]) -> Self {
        let mut listing = Listing {
            files: Files::default(),
            found: Vec::new(),
        };
        let mut walker = Walker::default();
        for source in sources {
            if source.is_dir() {
                walker.add(&mut listing.files, source);
            } else {
                listing.add_file(source);
            }
        }
        while walker.step(&mut listing, &mut |listing: &mut Listing, found| {
            listing.note(found)
        }) {}
        let Listing { files, found } = listing;
        let mut path = String::new();
        let mut by_hash = FxHashMap::default();
        for id in found {
            path.clear();
            files.push_relative(id, &mut path);
            by_hash.insert((files.source_of(id), key.path_hash(&path)), id);
        }
        let sources = (0..files.sources().len() as u32)
            .map(|source| (key.source(&files.source_path(source).to_string_lossy()), source))
            .collect();
        Self {
            files,
            sources,
            by_hash,
        }
    }

    /// Source and path behind their pseudonyms; `None` when no file of these sources has them.
    pub fn find(&self, source: &str, path: &str) -> Option<(String, String)> {
        let source = *self.sources.get(source)?;
        let id = *self.by_hash.get(&(source, hash_in(path)?))?;
        let root = self.files.source_path(source).to_string_lossy().into_owned();
        Some((root, self.files.relative(id)))
    }

    /// Whether this pseudonym is one of these sources'.
    pub fn has_source(&self, source: &str) -> bool {
        self.sources.contains_key(source)
    }
}

/// Files as they are found.
struct Listing {
    files: Files,
    found: Vec<FileId>,
}

impl AsMut<Files> for Listing {
    fn as_mut(&mut self) -> &mut Files {
        &mut self.files
    }
}

impl Listing {
    fn note(&mut self, found: Found<'_>) {
        let (Found::File { folder, name, .. } | Found::Problem { folder, name, .. }) = found;
        let id = self.files.push(folder, name, Default::default());
        self.found.push(id);
    }

    fn add_file(&mut self, file: &Path) {
        let name = file.file_name().and_then(|name| name.to_str());
        if let (Some(root), Some(name)) = (file.parent(), name) {
            let source = self.files.source(root.to_path_buf());
            let folder = self.files.folder(source, "");
            let id = self.files.push(folder, name, Default::default());
            self.found.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_are_found_by_their_pseudonyms() {
        let root = std::env::temp_dir().join(format!("ctprune-names-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        for path in ["a/1.dcm", "a/b/1.dcm", "single.png"] {
            fs::write(root.join(path), "x").unwrap();
        }
        let key = Key::new(&[7; 40]).unwrap();
        let text = root.to_string_lossy().into_owned();
        let names = Names::of(&key, std::slice::from_ref(&root));
        for path in ["a/1.dcm", "a/b/1.dcm"] {
            let found = names.find(&key.source(&text), &key.path(path));
            assert_eq!(found, Some((text.clone(), path.to_owned())));
        }
        let alone = Names::of(&key, &[root.join("single.png")]);
        assert_eq!(
            alone.find(&key.source(&text), &key.path("single.png")),
            Some((text.clone(), "single.png".into()))
        );
        assert_eq!(alone.find(&key.source(&text), &key.path("a/1.dcm")), None);
        assert_eq!(names.find(&key.source("/other"), &key.path("a/1.dcm")), None);
        let other = Key::new(&[8; 40]).unwrap();
        assert_eq!(names.find(&other.source(&text), &other.path("a/1.dcm")), None);
        fs::remove_dir_all(root).unwrap();
    }
}
