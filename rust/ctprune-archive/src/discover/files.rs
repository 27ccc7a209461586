//! The files of an archive: one folder name for all its files, one text for all names, so that ten million
//! files cost some fifty bytes each.

use crate::discover::location::{CONTAINER_MARK, Location, is_remote};
use crate::discover::texts::Texts;
use hashbrown::HashTable;
use indexmap::{Equivalent, IndexSet};
use rustc_hash::FxBuildHasher;
use std::hash::{BuildHasher, Hash};
use std::path::{Path, PathBuf};

/// Number of a file in [`Files`].
pub type FileId = u32;

/// Size and version: when both are the same, the file is taken as unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970; of an object in a store, 63 bits of its ETag's hash.
    pub version: i64,
}

#[derive(PartialEq, Eq, Hash)]
struct Folder {
    source: u32,
    /// Relative to the source, `/` on every system, empty for the source itself.
    path: Box<str>,
}

/// A folder to look for, without memory of its own.
#[derive(Hash)]
struct FolderKey<'a> {
    source: u32,
    path: &'a str,
}

impl Equivalent<Folder> for FolderKey<'_> {
    fn equivalent(&self, folder: &Folder) -> bool {
        self.source == folder.source && *self.path == *folder.path
    }
}

/// All files, in the order in which they were found.
#[derive(Default)]
pub struct Files {
    sources: IndexSet<PathBuf, FxBuildHasher>,
    folders: IndexSet<Folder, FxBuildHasher>,
    folder_of: Vec<u32>,
    names: Texts,
    stamps: Vec<Stamp>,
    by_path: HashTable<FileId>,
}

impl Files {
    /// Number of files.
    pub fn len(&self) -> usize {
        self.folder_of.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.folder_of.is_empty()
    }

    /// Number of the source folder with this absolute path.
    pub fn source(&mut self, root: PathBuf) -> u32 {
        // A list may name a hundred thousand: no search through all.
        self.sources.insert_full(root).0 as u32
    }

    /// Number of source folders.
    pub fn source_count(&self) -> usize {
        self.sources.len()
    }

    /// Number of the source folder with this absolute path, if there is one.
    pub fn find_source(&self, root: &Path) -> Option<u32> {
        self.sources.get_index_of(root).map(|number| number as u32)
    }

    /// Address of a file: its source, `/`, its path relative to that.
    pub fn address(&self, folder: u32, name: &str) -> String {
        let Folder { source, path } = &self.folders[folder as usize];
        let source = self.sources[*source as usize].to_string_lossy();
        let between = if path.is_empty() { "" } else { "/" };
        format!("{source}/{path}{between}{name}")
    }

    /// Number of a folder below a source.
    pub fn folder(&mut self, source: u32, path: &str) -> u32 {
        let known = self.folders.get_index_of(&FolderKey { source, path });
        let number = known.unwrap_or_else(|| {
            let path = Box::from(path);
            self.folders.insert_full(Folder { source, path }).0
        });
        number as u32
    }

    /// Add a file; the caller knows that it is not there yet.
    pub fn push(&mut self, folder: u32, name: &str, stamp: Stamp) -> FileId {
        let id = self.folder_of.len() as FileId;
        self.folder_of.push(folder);
        self.names.push(name);
        self.stamps.push(stamp);
        id
    }

    /// Make a file findable by [`Files::find`].
    pub fn index(&mut self, id: FileId) {
        let (folder_of, names) = (&self.folder_of, &self.names);
        let hash = |&id: &FileId| path_hash(folder_of[id as usize], names.get(id as usize));
        self.by_path.insert_unique(hash(&id), id, hash);
    }

    /// The indexed file of this folder and name.
    pub fn find(&self, folder: u32, name: &str) -> Option<FileId> {
        let same = |&id: &FileId| self.folder_of[id as usize] == folder && self.name(id) == name;
        self.by_path.find(path_hash(folder, name), same).copied()
    }

    /// Forget what [`Files::index`] made: nothing more is looked for.
    pub fn drop_index(&mut self) {
        self.by_path = HashTable::new();
    }

    /// Size and time of a file.
    pub fn stamp(&self, id: FileId) -> Stamp {
        self.stamps[id as usize]
    }

    /// Note a file's new size and time.
    pub fn set_stamp(&mut self, id: FileId, stamp: Stamp) {
        self.stamps[id as usize] = stamp;
    }

    /// Name without its folder.
    pub fn name(&self, id: FileId) -> &str {
        self.names.get(id as usize)
    }

    /// Number of the folder that holds the file.
    pub fn folder_of(&self, id: FileId) -> u32 {
        self.folder_of[id as usize]
    }

    /// Number of the source that a folder is in.
    pub fn source_of_folder(&self, folder: u32) -> u32 {
        self.folders[folder as usize].source
    }

    /// Number of the source that the file was found under.
    pub fn source_of(&self, id: FileId) -> u32 {
        self.folders[self.folder_of(id) as usize].source
    }

    /// Whether the file is a member of a container, or in a folder that is named like one.
    pub fn is_member(&self, id: FileId) -> bool {
        let folder = &self.folders[self.folder_of(id) as usize].path;
        folder.ends_with(CONTAINER_MARK) || folder.contains("!/")
    }

    /// Which folders are this one of a source, or within it.
    pub fn folders_below(&self, source: u32, path: &str) -> Vec<bool> {
        let is_below = |folder: &Folder| {
            let rest = folder.path.strip_prefix(path);
            folder.source == source && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.folders.iter().map(is_below).collect()
    }

    /// Absolute path of a source.
    pub fn source_path(&self, source: u32) -> &PathBuf {
        &self.sources[source as usize]
    }

    /// Append the path relative to the source, `/` on every system.
    pub fn push_relative(&self, id: FileId, out: &mut String) {
        let folder = &self.folders[self.folder_of(id) as usize].path;
        if !folder.is_empty() {
            out.push_str(folder);
            out.push('/');
        }
        out.push_str(self.name(id));
    }

    /// Path relative to the source, `/` on every system.
    pub fn relative(&self, id: FileId) -> String {
        let mut out = String::new();
        self.push_relative(id, &mut out);
        out
    }

    /// Whether the file is on another machine.
    pub fn is_remote(&self, id: FileId) -> bool {
        let source = &self.sources[self.source_of(id) as usize];
        source.to_str().is_some_and(is_remote)
    }

    /// Where to read the file.
    pub fn locate(&self, id: FileId) -> Location {
        let source = &self.sources[self.source_of(id) as usize];
        match source.to_str().filter(|source| is_remote(source)) {
            // Keys are texts: what would be an empty component of a path stays.
            Some(source) => Location::Remote(format!("{source}/{}", self.relative(id))),
            None => Location::parse(self.absolute(id)),
        }
    }

    fn absolute(&self, id: FileId) -> PathBuf {
        let folder = &self.folders[self.folder_of(id) as usize];
        let mut path = self.sources[folder.source as usize].clone();
        // Component by component, so that Windows gets its own separator.
        path.extend(folder.path.split('/').filter(|part| !part.is_empty()));
        path.push(self.name(id));
        path
    }
}

impl AsMut<Files> for Files {
    fn as_mut(&mut self) -> &mut Files {
        self
    }
}

fn path_hash(folder: u32, name: &str) -> u64 {
    FxBuildHasher.hash_one((folder, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_again_by_folder_and_name() {
        let mut files = Files::default();
        let source = files.source(PathBuf::from("root"));
        let (a, b) = (files.folder(source, "a"), files.folder(source, "a/b"));
        let ids: Vec<_> = [(a, "x"), (b, "x"), (b, "xy")]
            .into_iter()
            .map(|(folder, name)| files.push(folder, name, Stamp { size: 1, version: 2 }))
            .collect();
        ids.iter().for_each(|&id| files.index(id));
        assert_eq!(files.find(a, "x"), Some(ids[0]));
        assert_eq!(files.find(b, "x"), Some(ids[1]));
        assert_eq!(files.find(b, "xy"), Some(ids[2]));
        assert_eq!(files.find(a, "xy"), None);
        assert_eq!(files.relative(ids[2]), "a/b/xy");
        assert_eq!(
            files.locate(ids[1]),
            Location::File(PathBuf::from("root").join("a").join("b").join("x"))
        );
        assert_eq!(files.folder(source, "a/b"), b);
        files.drop_index();
        assert_eq!(files.find(a, "x"), None);
        let bucket = files.source(PathBuf::from("s3://bucket"));
        let folder = files.folder(bucket, "a//b");
        let object = files.push(folder, "x", Stamp::default());
        assert_eq!(
            files.locate(object),
            Location::Remote("s3://bucket/a//b/x".into())
        );
    }
}
