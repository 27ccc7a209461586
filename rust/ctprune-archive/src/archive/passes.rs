//! Containers that are read from their start: a pass hands over their members as it comes to them.

use super::Archive;
use super::earlier::READ_TO_END;
use super::member_root::{MemberRoot, TOGETHER, no_members, too_many};
use crate::discover::files::FileId;
use crate::discover::location::Location;
use crate::error::ArchiveError;
use crate::fingerprint_file::{refusal, rows_of_opened};
use crate::open::{Opened, names_of_items};
use crate::rows::row::{NewRow, Reader};
use ctprune_containers::index::{NAMESAKES, failed};
use ctprune_containers::open::{Container, kind_of, too_deep};
use ctprune_containers::pass::{Fault, Held, Item, ItemContent, Pass, Want};
use ctprune_containers::promised_kind;
use ctprune_dicom::code::Code;
use ctprune_dicom::read::HEAD_BYTES;
use ctprune_dicom::slice::Refusal;
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A container that is read from its start.
pub(super) struct OpenPass {
    pub(super) root: MemberRoot,
    container: Arc<Container>,
    /// `None` before it has begun.
    pass: Option<Pass>,
    /// Members that were named one by one; without any, all are read.
    pub(super) only: BTreeSet<String>,
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
    pub(super) fn new(root: MemberRoot, container: Arc<Container>, only: BTreeSet<String>) -> Self {
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
