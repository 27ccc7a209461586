//! Containers among the files: their members are files like others, read in any order or in one pass.

use super::Archive;
use super::member_root::{DOUBTFUL, MemberRoot, TOGETHER, no_members, too_many};
use super::passes::OpenPass;
use crate::discover::files::{FileId, Stamp};
use crate::discover::location::{CONTAINER_MARK, Location};
use crate::discover::walk::Found;
use crate::error::ArchiveError;
use crate::fingerprint_file::{Settings, refusal, rows_of_opened};
use crate::open::{Found as Open, Opened, find_member, with_member};
use crate::rows::row::{NewRow, Reader};
use ctprune_containers::index::{Index, Member, failed};
use ctprune_containers::open::{Container, kind_of, too_deep};
use ctprune_containers::{MAX_MEMBERS, check_size, promised_kind};
use ctprune_dicom::read::HEAD_BYTES;
use ctprune_dicom::slice::Refusal;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Archive {
    /// A file is a container: take in its members, or begin a pass over them.
    pub(super) fn open_container(
        &mut self,
        file: FileId,
        container: Arc<Container>,
    ) -> Result<(), ArchiveError> {
        let root = self.root_of(file);
        if let Location::File(path) = self.files.locate(file) {
            let mut beside = path.into_os_string();
            beside.push(CONTAINER_MARK.to_string());
            if PathBuf::from(&beside).is_dir() {
                return self.refuse_container(&root, failed(DOUBTFUL));
            }
        }
        match container.index() {
            Some(index) => self.add_members(&root, index),
            None => {
                self.progress.bytes_to_read += container.len();
                self.passes.push(OpenPass::new(root, container, BTreeSet::new()));
                Ok(())
            }
        }
    }

    /// What a file that is a container is to its members, and no longer one of the files that are counted.
    pub(super) fn root_of(&mut self, file: FileId) -> MemberRoot {
        let Stamp { size, version } = self.files.stamp(file);
        self.progress.files_found -= 1;
        self.progress.files_to_read -= 1;
        self.progress.bytes_to_read -= size;
        MemberRoot {
            file,
            source: self.files.source_of(file),
            prefix: format!("{}{CONTAINER_MARK}", self.files.relative(file)),
            version,
        }
    }

    /// Open files that by their names are containers, some at a time, so that what is in them is known before reading
    /// begins; `false` when there is none left. Those that are none are read like other files.
    pub(super) fn open_promised(&mut self) -> Result<bool, ArchiveError> {
        let files = &self.files;
        if !std::mem::replace(&mut self.has_looked, true) {
            let is_promised =
                |file: &mut FileId| promised_kind(files.name(*file)).is_some() && !files.is_member(*file);
            self.promised = self.queue.extract_if(.., is_promised).collect();
        }
        let most = 8 * self.pool.current_num_threads();
        let some: Vec<FileId> = self.promised.drain(..most.min(self.promised.len())).collect();
        let open = |&file: &FileId| match files.locate(file) {
            Location::File(path) => Container::open(&path).ok(),
            _ => None,
        };
        let opened: Vec<Option<Arc<Container>>> = self
            .pool
            .install(|| some.par_iter().with_max_len(1).map(open).collect());
        for (&file, container) in some.iter().zip(opened) {
            match container {
                Some(container) => self.open_container(file, container)?,
                None => self.queue.push(file),
            }
        }
        Ok(!self.promised.is_empty())
    }

    /// Take over all members of a container that an earlier run has read to its end; `false` when it has to be read
    /// again, since some of them failed, or others are excluded now.
    pub(super) fn reuse_members(&mut self, container: FileId, stamp: Stamp) -> bool {
        let Some(members) = self.reusable_members(container, stamp) else {
            return false;
        };
        // The container itself is not one of the files that are counted.
        self.progress.files_found += members.len() as u64 - u64::from(!members.is_empty());
        self.progress.files_reused += members.len() as u64;
        for member in members {
            self.earlier.see(member, true);
        }
        true
    }

    /// Members of a container that an earlier run has read to its end, if all can be taken over.
    pub(super) fn reusable_members(&self, container: FileId, stamp: Stamp) -> Option<Vec<FileId>> {
        let prefix = format!("{}{CONTAINER_MARK}", self.files.relative(container));
        let members = self.earlier_members(self.files.source_of(container), &prefix);
        let is_usable = |&file: &FileId| {
            self.earlier.is_reusable(file)
                && self.files.stamp(file).version == stamp.version
                && (self.exclusions.is_empty()
                    || self.exclusions.reason(&self.files.relative(file)).is_none())
        };
        // Where it has a row and they are not known, their names may be pseudonyms that nobody could put back.
        (!members.is_empty() && members.iter().all(is_usable)).then_some(members)
    }

    /// Files of an earlier run in a folder of a source, or below.
    pub(super) fn earlier_members(&self, source: u32, prefix: &str) -> Vec<FileId> {
        let folders = self.files.folders_below(source, prefix);
        let is_below = |&file: &FileId| folders[self.files.folder_of(file) as usize];
        (0..self.earlier.files()).filter(is_below).collect()
    }

    /// A row of a container itself, for what is wrong with it.
    pub(super) fn refuse_container(
        &mut self,
        root: &MemberRoot,
        reason: Refusal,
    ) -> Result<(), ArchiveError> {
        self.progress.files_found += 1;
        self.table.push(refusal(root.file, Reader::None, reason))
    }

    pub(super) fn add_members(&mut self, root: &MemberRoot, index: &Index) -> Result<(), ArchiveError> {
        if !self.has_room(root, index.members().len()) {
            return self.refuse_container(root, too_many());
        }
        for member in index.members() {
            let Some(file) = self.take_in_member(root, &member.name, member.size)? else {
                continue;
            };
            let extent = member.extent.as_ref().map_err(Refusal::clone);
            match extent.and_then(|extent| self.check_member(file, member.size, extent.deflated)) {
                Ok(()) => self.enqueue(file),
                Err(reason) => self.refuse_member(file, reason)?,
            }
        }
        match &index.broken {
            Some(error) => self.refuse_container(root, error.clone().into()),
            None if index.members().is_empty() => self.refuse_container(root, no_members()),
            None => Ok(()),
        }
    }

    /// Refuses what would take too much memory, where it comes unpacked.
    fn check_member(&self, file: FileId, size: u64, deflated: bool) -> Result<(), Refusal> {
        if deflated && self.files.is_remote(file) {
            check_size(size, &self.settings.read)?;
        }
        Ok(())
    }

    /// A row of a member that need not be read.
    pub(super) fn refuse_member(&mut self, file: FileId, reason: Refusal) -> Result<(), ArchiveError> {
        self.progress.files_to_read += 1;
        self.take_rows(vec![refusal(file, Reader::None, reason)])
    }

    /// Whether the outermost container may have so many more members.
    pub(super) fn has_room(&mut self, root: &MemberRoot, more: usize) -> bool {
        let outermost = root.prefix.split(CONTAINER_MARK).next().unwrap_or_default();
        let path = self.files.source_path(root.source).join(outermost);
        let members = self.members.entry(path).or_default();
        *members += more;
        *members <= MAX_MEMBERS
    }

    /// Take in a member as a file; with its number, if it is to be read.
    pub(super) fn take_in_member(
        &mut self,
        root: &MemberRoot,
        name: &str,
        size: u64,
    ) -> Result<Option<FileId>, ArchiveError> {
        let (folder, name) = match name.rsplit_once('/') {
            Some((folder, name)) => (format!("{}/{folder}", root.prefix), name),
            None => (root.prefix.clone(), name),
        };
        let folder = self.files.folder(root.source, &folder);
        let version = root.version;
        let stamp = Stamp { size, version };
        self.take_in(Found::File { folder, name, stamp })
    }

    /// Read one member of a container too; its address is that of the container in the file at `path`, and `name`.
    pub(super) fn add_member(&mut self, path: &Path, name: &str) -> Result<(), ArchiveError> {
        let (folder, container, stamp) = self.named_file(path)?;
        let source = self.files.source_of_folder(folder);
        let root = |prefix: String, file: FileId| MemberRoot {
            file,
            source,
            prefix,
            version: stamp.version,
        };
        let whole = format!("{container}{CONTAINER_MARK}");
        match find_member(path, name, &self.settings.read) {
            Ok(Open::Indexed(_, member)) => {
                let root = root(whole, FileId::MAX);
                if let Some(file) = self.take_in_member(&root, name, member.size)? {
                    self.enqueue(file);
                }
                Ok(())
            }
            Ok(Open::InPass(opened, inner)) => {
                let outer = name
                    .strip_suffix(&inner)
                    .unwrap_or_default()
                    .trim_end_matches('/');
                let prefix = if outer.is_empty() {
                    whole
                } else {
                    format!("{whole}/{outer}")
                };
                let same = |open: &&mut OpenPass| open.root.source == source && open.root.prefix == prefix;
                if let Some(open) = self.passes.iter_mut().find(same) {
                    open.only.insert(inner);
                    return Ok(());
                }
                let file = self.files.push(folder, &container, stamp);
                self.progress.bytes_to_read += opened.len();
                let only = BTreeSet::from([inner]);
                self.passes.push(OpenPass::new(root(prefix, file), opened, only));
                Ok(())
            }
            Err(reason) => self.refuse_named_member(path, name, reason),
        }
    }

    /// A row of a member that is named and cannot be read.
    pub(super) fn refuse_named_member(
        &mut self,
        path: &Path,
        name: &str,
        reason: Refusal,
    ) -> Result<(), ArchiveError> {
        let (folder, container, stamp) = self.named_file(path)?;
        let root = MemberRoot {
            file: FileId::MAX,
            source: self.files.source_of_folder(folder),
            prefix: format!("{container}{CONTAINER_MARK}"),
            version: stamp.version,
        };
        match self.take_in_member(&root, name, 0)? {
            Some(file) => self.refuse_member(file, reason),
            None => Ok(()),
        }
    }

    /// The number of a member that is known from an earlier run, or of the last one taken in.
    pub(super) fn find_member_file(&mut self, root: &MemberRoot, name: &str) -> FileId {
        let (folder, name) = match name.rsplit_once('/') {
            Some((folder, name)) => (format!("{}/{folder}", root.prefix), name),
            None => (root.prefix.clone(), name),
        };
        let folder = self.files.folder(root.source, &folder);
        let last = self.files.len() as FileId - 1;
        self.files.find(folder, name).unwrap_or(last)
    }

    /// A member of a pass is a container itself: read all its members now, while it is in memory.
    pub(super) fn open_in_memory(
        &mut self,
        outer: &MemberRoot,
        file: FileId,
        container: Arc<Container>,
        only: &BTreeSet<String>,
    ) -> Result<(), ArchiveError> {
        self.progress.files_found -= 1;
        let root = MemberRoot {
            file,
            prefix: format!("{}{CONTAINER_MARK}", self.files.relative(file)),
            ..outer.clone()
        };
        let Some(index) = container.index() else {
            self.progress.bytes_to_read += container.len();
            let mut open = OpenPass::new(root, container, BTreeSet::new());
            open.only.clone_from(only);
            self.passes.push(open);
            return Ok(());
        };
        if !self.has_room(&root, index.members().len()) {
            return self.refuse_container(&root, too_many());
        }
        let mut to_read = Vec::new();
        for member in index.members() {
            if !only.is_empty() && !only.contains(&member.name) {
                continue;
            }
            if let Some(file) = self.take_in_member(&root, &member.name, member.size)? {
                to_read.push((file, member));
            }
        }
        self.progress.files_to_read += to_read.len() as u64;
        for some in to_read.chunks(TOGETHER * self.pool.current_num_threads()) {
            let (files, settings) = (&self.files, &self.settings);
            let read = |&(file, member): &(FileId, &Member)| {
                let location = Location::Remote(files.name(file).to_owned());
                with_member(&container, member, &settings.read, |opened| {
                    rows_in_memory(&location, opened, file, settings)
                })
            };
            let rows: Vec<Vec<NewRow>> = self
                .pool
                .install(|| some.par_iter().with_max_len(1).map(read).collect());
            rows.into_iter().try_for_each(|rows| self.take_rows(rows))?;
        }
        match &index.broken {
            Some(error) => self.refuse_container(&root, error.clone().into()),
            None if index.members().is_empty() => self.refuse_container(&root, no_members()),
            None => Ok(()),
        }
    }
}

/// Rows of a member of a container that is itself one: no container in it is read.
fn rows_in_memory(location: &Location, opened: Opened<'_>, file: FileId, settings: &Settings) -> Vec<NewRow> {
    let is_container = match &opened {
        Opened::Bytes(bytes) => kind_of(&bytes[..bytes.len().min(HEAD_BYTES)]).is_some(),
        _ => false,
    };
    if is_container {
        return vec![refusal(file, Reader::None, too_deep())];
    }
    rows_of_opened(location, opened, file, settings)
}
