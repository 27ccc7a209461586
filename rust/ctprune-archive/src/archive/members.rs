//! Containers among the files: their members are files like others, read in any order or in one pass.

use super::Archive;
use super::earlier::READ_TO_END;
use crate::discover::files::{FileId, Stamp};
use crate::discover::location::{CONTAINER_MARK, Location};
use crate::discover::walk::Found;
use crate::error::ArchiveError;
use crate::fingerprint_file::{Settings, refusal, rows_of_opened};
use crate::open::{Found as Open, Opened, find_member, names_of_items, with_member};
use crate::rows::row::{NewRow, Reader};
use ctprune_containers::index::{Index, Member, NAMESAKES, failed};
use ctprune_containers::open::{Container, kind_of, too_deep};
use ctprune_containers::pass::{Fault, Held, Item, ItemContent, Pass, Want};
use ctprune_containers::{MAX_MEMBERS, promised_kind};
use ctprune_dicom::code::Code;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::read::HEAD_BYTES;
use ctprune_dicom::slice::Refusal;
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Members of a pass that are decoded together, for each thread.
const TOGETHER: usize = 16;

/// The folder that stands for a container among the files.
#[derive(Clone)]
struct MemberRoot {
    /// The container.
    file: FileId,
    source: u32,
    /// The folder that its members are in.
    prefix: String,
    /// The version of the outermost container.
    version: i64,
}

/// A container that is read from its start.
pub(super) struct OpenPass {
    root: MemberRoot,
    container: Arc<Container>,
    /// `None` before it has begun.
    pass: Option<Pass>,
    /// Members that were named one by one; without any, all are read.
    only: BTreeSet<String>,
    /// Bytes of the container that progress has counted.
    counted: u64,
    /// Files by the names of the members seen.
    seen: FxHashMap<String, FileId>,
    namesakes: FxHashSet<FileId>,
    /// Whether any member was reported.
    has_members: bool,
    /// Whether there were more than may be.
    is_full: bool,
}

impl Archive {
    /// A file is a container: take in its members, or begin a pass over them.
    pub(super) fn open_container(
        &mut self,
        file: FileId,
        container: Arc<Container>,
    ) -> Result<(), ArchiveError> {
        // It is what its members are in, not one of the files that are counted.
        let size = self.files.stamp(file).size;
        self.progress.files_found -= 1;
        self.progress.files_to_read -= 1;
        self.progress.bytes_to_read -= size;
        let root = MemberRoot {
            file,
            source: self.files.source_of(file),
            prefix: format!("{}{CONTAINER_MARK}", self.files.relative(file)),
            version: self.files.stamp(file).version,
        };
        if let Location::File(path) = self.files.locate(file) {
            let mut beside = path.into_os_string();
            beside.push(CONTAINER_MARK.to_string());
            if PathBuf::from(&beside).is_dir() {
                let reason = "a folder of its name with '!' stands beside it: rename one of them";
                return self.refuse_container(&root, failed(reason));
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
    fn reusable_members(&self, container: FileId, stamp: Stamp) -> Option<Vec<FileId>> {
        let prefix = format!("{}{CONTAINER_MARK}", self.files.relative(container));
        let members = self.earlier_members(self.files.source_of(container), &prefix);
        let is_usable = |&file: &FileId| {
            self.earlier.is_reusable(file)
                && self.files.stamp(file).version == stamp.version
                && (self.exclusions.is_empty()
                    || self.exclusions.reason(&self.files.relative(file)).is_none())
        };
        members.iter().all(is_usable).then_some(members)
    }

    /// Files of an earlier run in a folder of a source, or below.
    fn earlier_members(&self, source: u32, prefix: &str) -> Vec<FileId> {
        let folders = self.files.folders_below(source, prefix);
        let is_below = |&file: &FileId| folders[self.files.folder_of(file) as usize];
        (0..self.earlier.files()).filter(is_below).collect()
    }

    /// A row of a container itself, for what is wrong with it.
    fn refuse_container(&mut self, root: &MemberRoot, reason: Refusal) -> Result<(), ArchiveError> {
        self.progress.files_found += 1;
        self.table.push(refusal(root.file, Reader::None, reason))
    }

    fn add_members(&mut self, root: &MemberRoot, index: &Index) -> Result<(), ArchiveError> {
        if !self.has_room(root, index.members().len()) {
            return self.refuse_container(root, too_many());
        }
        for member in index.members() {
            let Some(file) = self.take_in_member(root, &member.name, member.size)? else {
                continue;
            };
            match &member.extent {
                Ok(_) => self.enqueue(file),
                Err(reason) => self.refuse_member(file, reason.clone())?,
            }
        }
        match &index.broken {
            Some(error) => self.refuse_container(root, error.clone().into()),
            None if index.members().is_empty() => self.refuse_container(root, no_members()),
            None => Ok(()),
        }
    }

    /// A row of a member that need not be read.
    fn refuse_member(&mut self, file: FileId, reason: Refusal) -> Result<(), ArchiveError> {
        self.progress.files_to_read += 1;
        self.take_rows(vec![refusal(file, Reader::None, reason)])
    }

    /// Whether the outermost container may have so many more members.
    fn has_room(&mut self, root: &MemberRoot, more: usize) -> bool {
        let outermost = root.prefix.split(CONTAINER_MARK).next().unwrap_or_default();
        let path = self.files.source_path(root.source).join(outermost);
        let members = self.members.entry(path).or_default();
        *members += more;
        *members <= MAX_MEMBERS
    }

    /// Take in a member as a file; with its number, if it is to be read.
    fn take_in_member(
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
            Err(reason) => {
                let root = root(whole, FileId::MAX);
                match self.take_in_member(&root, name, 0)? {
                    Some(file) => self.refuse_member(file, reason),
                    None => Ok(()),
                }
            }
        }
    }

    /// Go on with the last pass for about this long.
    pub(super) fn step_pass(&mut self, time: Duration) -> Result<(), ArchiveError> {
        let Some(mut open) = self.passes.pop() else {
            return Ok(());
        };
        let mut pass = open.pass.take().unwrap_or_else(|| self.begin_pass(&open));
        let most = TOGETHER * self.pool.current_num_threads();
        let batch = pass.next_batch(time, most);
        let mut to_read: Vec<(FileId, Held)> = Vec::new();
        let mut nested: Vec<(FileId, Arc<Container>, String)> = Vec::new();
        for Item { name, size, content } in batch.items {
            let Some(file) = self.take_in_item(&mut open, &name, size)? else {
                continue;
            };
            let held = match content {
                ItemContent::Bytes(held) => held,
                ItemContent::Refused(reason) => {
                    self.refuse_member(file, reason)?;
                    continue;
                }
                ItemContent::Left => {
                    self.refuse_member(file, failed("the archive changed while it was read"))?;
                    continue;
                }
            };
            if kind_of(&held[..held.len().min(HEAD_BYTES)]).is_none() {
                to_read.push((file, held));
            } else if open.container.is_nested() {
                self.refuse_member(file, too_deep())?;
            } else {
                match Container::of_memory(held.take(), &name) {
                    Ok(container) => nested.push((file, Arc::new(container), name)),
                    Err(reason) => self.refuse_member(file, reason)?,
                }
            }
        }
        self.read_items(to_read)?;
        let position = pass.position().min(open.container.len());
        self.progress.bytes_read += position.saturating_sub(open.counted);
        open.counted = position;
        let root = open.root.clone();
        let only = open.only.clone();
        match batch.end {
            Some(fault) => {
                // What is left counts as read: nobody will.
                self.progress.bytes_read += open.container.len() - open.counted;
                self.end_pass(open, fault)?;
            }
            None => {
                open.pass = Some(pass);
                self.passes.push(open);
            }
        }
        for (file, container, name) in nested {
            self.open_in_memory(&root, file, container, &only_below(&only, &name))?;
        }
        Ok(())
    }

    fn begin_pass(&self, open: &OpenPass) -> Pass {
        let known = self.known_members(&open.root);
        let (exclusions, prefix) = (self.exclusions.clone(), open.root.prefix.clone());
        let only: FxHashSet<String> = open.only.iter().flat_map(|name| names_of_items(name)).collect();
        let wanted = move |name: &str, size: u64| {
            let is_named = only.is_empty() || only.contains(name);
            let is_known = known.get(name) == Some(&size);
            let is_excluded =
                || !exclusions.is_empty() && exclusions.reason(&format!("{prefix}/{name}")).is_some();
            if !is_named || is_known || is_excluded() {
                Want::Leave
            } else {
                Want::ReadSlices
            }
        };
        Pass::start(Arc::clone(&open.container), self.settings.read.clone(), wanted)
    }

    /// Names and sizes of the members that an earlier run has read.
    fn known_members(&self, root: &MemberRoot) -> FxHashMap<String, u64> {
        let mut known = FxHashMap::default();
        for file in self.earlier_members(root.source, &root.prefix) {
            let stamp = self.files.stamp(file);
            let is_whole =
                || !self.earlier.is_read_to_end(file) || self.reusable_members(file, stamp).is_some();
            if self.earlier.is_reusable(file) && stamp.version == root.version && is_whole() {
                let path = self.files.relative(file);
                known.insert(path[root.prefix.len() + 1..].to_owned(), stamp.size);
            }
        }
        known
    }

    /// Take in a member that a pass has come to; with its number, if it is to be read.
    fn take_in_item(
        &mut self,
        open: &mut OpenPass,
        name: &str,
        size: u64,
    ) -> Result<Option<FileId>, ArchiveError> {
        open.has_members = true;
        if !open.is_wanted(name) {
            return Ok(None);
        }
        if let Some(&first) = open.seen.get(name) {
            open.namesakes.insert(first);
            return Ok(None);
        }
        if !self.has_room(&open.root, 1) {
            open.is_full = true;
            return Ok(None);
        }
        // Its number, known or new, is needed should the name come again.
        let to_read = self.take_in_member(&open.root, name, size)?;
        let file = match to_read {
            Some(file) => file,
            None => self.find_member_file(&open.root, name),
        };
        open.seen.insert(name.to_owned(), file);
        Ok(to_read)
    }

    /// The number of a member that is known from an earlier run, or of the last one taken in.
    fn find_member_file(&mut self, root: &MemberRoot, name: &str) -> FileId {
        let (folder, name) = match name.rsplit_once('/') {
            Some((folder, name)) => (format!("{}/{folder}", root.prefix), name),
            None => (root.prefix.clone(), name),
        };
        let folder = self.files.folder(root.source, &folder);
        let last = self.files.len() as FileId - 1;
        self.files.find(folder, name).unwrap_or(last)
    }

    /// Decode members that are in memory.
    fn read_items(&mut self, items: Vec<(FileId, Held)>) -> Result<(), ArchiveError> {
        self.progress.files_to_read += items.len() as u64;
        let (files, settings) = (&self.files, &self.settings);
        let read = |(file, held): (FileId, Held)| {
            let location = Location::Remote(files.name(file).to_owned());
            rows_of_opened(&location, Opened::Bytes(&held), file, settings)
        };
        let rows: Vec<Vec<NewRow>> = self
            .pool
            .install(|| items.into_par_iter().with_max_len(1).map(read).collect());
        rows.into_iter().try_for_each(|rows| self.take_rows(rows))
    }

    /// A member of a pass is a container itself: read all its members now, while it is in memory.
    fn open_in_memory(
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

    /// A pass has come to the end of its container, or to a fault.
    fn end_pass(&mut self, open: OpenPass, fault: Option<Fault>) -> Result<(), ArchiveError> {
        for name in open.only.iter().filter(|name| !open.has_seen(name)) {
            if let Some(file) = self.take_in_member(&open.root, name, 0)? {
                let reason = match &fault {
                    Some(fault) => fault.error.clone().into(),
                    None => failed("the archive has no such member"),
                };
                self.refuse_member(file, reason)?;
            }
        }
        self.refuse_files(&open.namesakes, &failed(NAMESAKES))?;
        if let Some(Fault {
            error,
            is_damage: true,
        }) = &fault
        {
            self.refuse_files(&self.members_of(&open.root), &error.clone().into())?;
        }
        if open.is_full {
            self.refuse_container(&open.root, too_many())?;
        }
        let name = self.files.name(open.root.file);
        match fault {
            Some(_) if !open.has_members && promised_kind(name).is_none() => {
                // Packed, but no tar file.
                let reason = "not DICOM, NIfTI, PNG, JPEG or TIFF";
                self.refuse_container(&open.root, Refusal::skipped(Code::NotAnImage, reason))
            }
            Some(fault) if open.only.is_empty() => self.refuse_container(&open.root, fault.error.into()),
            None if !open.has_members => self.refuse_container(&open.root, no_members()),
            None if open.only.is_empty() => self.table.push(refusal(
                open.root.file,
                Reader::None,
                Refusal::skipped(Code::Archive, READ_TO_END),
            )),
            _ => Ok(()),
        }
    }

    /// All members of a container, and of those in it.
    fn members_of(&self, root: &MemberRoot) -> FxHashSet<FileId> {
        let folders = self.files.folders_below(root.source, &root.prefix);
        let is_below = |&file: &FileId| folders[self.files.folder_of(file) as usize];
        (0..self.files.len() as FileId).filter(is_below).collect()
    }

    /// Give up files that were taken in, whatever was read of them.
    fn refuse_files(&mut self, files: &FxHashSet<FileId>, reason: &Refusal) -> Result<(), ArchiveError> {
        if files.is_empty() {
            return Ok(());
        }
        for row in self.earlier.rows..self.table.rows().len() {
            if files.contains(&self.table.rows()[row].file) {
                self.table.retire(row);
            }
        }
        let mut in_order: Vec<FileId> = files.iter().copied().collect();
        in_order.sort_unstable();
        for file in in_order {
            self.earlier.forget(file);
            self.table.push(refusal(file, Reader::None, reason.clone()))?;
        }
        Ok(())
    }
}

impl OpenPass {
    fn new(root: MemberRoot, container: Arc<Container>, only: BTreeSet<String>) -> Self {
        Self {
            root,
            container,
            pass: None,
            only,
            counted: 0,
            seen: FxHashMap::default(),
            namesakes: FxHashSet::default(),
            has_members: false,
            is_full: false,
        }
    }

    /// Whether a member, or one within it, is to be read.
    fn is_wanted(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.contains(name) || !only_below(&self.only, name).is_empty()
    }

    /// Whether a member that was named, or the container that holds it, was there.
    fn has_seen(&self, name: &str) -> bool {
        names_of_items(name).any(|name| self.seen.contains_key(&name))
    }
}

/// The rest of the names that lie within a member.
fn only_below(only: &BTreeSet<String>, name: &str) -> BTreeSet<String> {
    let prefix = format!("{name}!/");
    only.range(prefix.clone()..)
        .take_while(|name| name.starts_with(&prefix))
        .map(|name| name[prefix.len()..].to_owned())
        .collect()
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

fn too_many() -> Refusal {
    Refusal::Failed(ReadError::other(
        Code::Container,
        format!(
            "more than {MAX_MEMBERS} members, with those of the archives in it: unpack it, and name the folder"
        ),
    ))
}

fn no_members() -> Refusal {
    Refusal::skipped(Code::NoMembers, "archive without files")
}
