//! The files behind pseudonyms: the sources are listed again, and each path's pseudonym is compared.
//!
//! What lies in a container is listed when a pseudonym leads into it.

use crate::discover::files::{FileId, Files};
use crate::discover::location::{CONTAINER_MARK, Location};
use crate::discover::walk::{Found, Walker};
use crate::pseudonyms::key::{Key, hash_in};
use ctprune_containers::listing::names_of;
use ctprune_containers::open::Container;
use ctprune_dicom::slice::ReadOptions;
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::{Path, PathBuf};

/// All files of some sources by the hash of their paths' pseudonyms.
pub struct Names {
    key: Key,
    files: Files,
    sources: FxHashMap<String, u32>,
    by_hash: FxHashMap<(u32, u128), FileId>,
    /// Files by the hash of their names with the mark of a container; made when it is first needed.
    containers: Option<FxHashMap<(u32, u128), FileId>>,
    listed: FxHashSet<FileId>,
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
        let sources = (0..files.source_count() as u32)
            .map(|source| (key.source(&files.source_path(source).to_string_lossy()), source))
            .collect();
        let mut names = Self {
            key: key.clone(),
            files,
            sources,
            by_hash: FxHashMap::default(),
            containers: None,
            listed: FxHashSet::default(),
        };
        found.into_iter().for_each(|id| names.index(id));
        names
    }

    /// Take in files of another machine, or members of containers there, by their paths relative to a source.
    pub fn add<'a>(&mut self, source: &str, paths: impl IntoIterator<Item = &'a str>) {
        let number = self.files.source(PathBuf::from(source));
        self.sources.insert(self.key.source(source), number);
        for path in paths {
            self.push(number, path);
        }
        self.containers = None;
    }

    /// Source and path behind their pseudonyms; `None` when no file of these sources has them.
    pub fn find(&mut self, source: &str, path: &str) -> Option<(String, String)> {
        let number = *self.sources.get(source)?;
        let hash = hash_in(path)?;
        if !self.by_hash.contains_key(&(number, hash)) {
            self.list_container(number, path);
        }
        let id = *self.by_hash.get(&(number, hash))?;
        Some(self.shown(id))
    }

    /// Source and path of the container of another machine that these pseudonyms lead into, each once: who can list
    /// what it holds adds that.
    pub fn unlisted_container(&mut self, source: &str, path: &str) -> Option<(String, String)> {
        let number = *self.sources.get(source)?;
        let id = self.container_on(number, path)?;
        (self.files.is_remote(id) && self.listed.insert(id)).then(|| self.shown(id))
    }

    fn shown(&self, id: FileId) -> (String, String) {
        let root = self.files.source_path(self.files.source_of(id));
        (root.to_string_lossy().into_owned(), self.files.relative(id))
    }

    fn push(&mut self, source: u32, path: &str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.files.folder(source, folder);
        let id = self.files.push(folder, name, Default::default());
        self.index(id);
    }

    fn index(&mut self, id: FileId) {
        let hash = self.key.path_hash(&self.files.relative(id));
        self.by_hash.insert((self.files.source_of(id), hash), id);
    }

    /// The file that is a container on this pseudonym's path.
    fn container_on(&mut self, source: u32, path: &str) -> Option<FileId> {
        let Self { key, files, .. } = self;
        let containers = self.containers.get_or_insert_with(|| {
            let ids = (0..files.len() as FileId).filter(|&id| !files.is_member(id));
            let marked = |id| format!("{}{CONTAINER_MARK}", files.relative(id));
            ids.map(|id| ((files.source_of(id), key.path_hash(&marked(id))), id))
                .collect()
        });
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        folders
            .filter_map(hash_in)
            .find_map(|hash| containers.get(&(source, hash)).copied())
    }

    /// List what is in the container of this machine that a pseudonym leads into, if that was not done.
    fn list_container(&mut self, source: u32, path: &str) {
        let Some(id) = self
            .container_on(source, path)
            .filter(|id| !self.listed.contains(id))
        else {
            return;
        };
        let Location::File(file) = self.files.locate(id) else {
            return;
        };
        self.listed.insert(id);
        let Ok(container) = Container::open(&file) else {
            return;
        };
        let container_path = self.files.relative(id);
        for name in names_of(&container, &ReadOptions::default()) {
            self.push(source, &format!("{container_path}{CONTAINER_MARK}/{name}"));
        }
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
    fn what_lies_elsewhere_is_found_once_it_was_added() {
        let key = Key::new(&[7; 40]).unwrap();
        let mut names = Names::of(&key, &[]);
        let (source, member) = ("s3://bucket", "Doe/a.zip!/b/1.dcm");
        names.add(source, ["Doe/a.zip", "Doe/2.dcm"]);
        let (hidden, path) = (key.source(source), key.path(member));
        assert_eq!(
            names.find(&hidden, &key.path("Doe/2.dcm")).unwrap().1,
            "Doe/2.dcm"
        );
        assert_eq!(names.find(&hidden, &path), None);
        let container = names.unlisted_container(&hidden, &path);
        assert_eq!(container, Some((source.into(), "Doe/a.zip".into())));
        assert_eq!(names.unlisted_container(&hidden, &path), None);
        names.add(source, [member]);
        assert_eq!(names.find(&hidden, &path).unwrap().1, member);
    }

    #[test]
    fn files_are_found_by_their_pseudonyms() {
        let root = std::env::temp_dir().join(format!("ctprune-names-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        for path in ["a/1.dcm", "a/b/1.dcm", "single.png"] {
            fs::write(root.join(path), "x").unwrap();
        }
        let key = Key::new(&[7; 40]).unwrap();
        let text = root.to_string_lossy().into_owned();
        let mut names = Names::of(&key, std::slice::from_ref(&root));
        for path in ["a/1.dcm", "a/b/1.dcm"] {
            let found = names.find(&key.source(&text), &key.path(path));
            assert_eq!(found, Some((text.clone(), path.to_owned())));
        }
        let mut alone = Names::of(&key, &[root.join("single.png")]);
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
