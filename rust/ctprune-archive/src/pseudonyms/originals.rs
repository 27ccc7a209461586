//! The names behind pseudonyms, kept while reading for a table that a user has asked for.

use crate::discover::files::Files;
use crate::discover::texts::Texts;
use crate::pseudonyms::key::{Key, Kind};
use ctprune_dicom::slice::SliceInfo;
use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

/// UIDs as files hold them: each study and series once, objects one after the other.
#[derive(Default)]
pub struct Originals {
    shared: IndexSet<(Kind, String), FxBuildHasher>,
    instances: Texts,
    count: usize,
}

/// A line of the table: kind, pseudonym, original.
pub type Line = (&'static str, String, String);

impl Originals {
    /// Keep the UIDs of a slice.
    pub fn keep(&mut self, info: &SliceInfo) {
        for (kind, uid) in [
            (Kind::Study, &info.study_instance_uid),
            (Kind::Series, &info.series_instance_uid),
            (Kind::FrameOfReference, &info.frame_of_reference_uid),
        ] {
            if !uid.is_empty() {
                self.shared.insert((kind, uid.clone()));
            }
        }
        if !info.sop_instance_uid.is_empty() {
            self.instances.push(&info.sop_instance_uid);
            self.count += 1;
        }
    }

    /// A line of the table, by number: sources, paths, then UIDs; `None` after the last one.
    pub fn line(&self, number: usize, key: &Key, files: &Files) -> Option<Line> {
        let number = match number.checked_sub(files.source_count()) {
            None => {
                let original = files.source_path(number as u32).to_string_lossy().into_owned();
                return Some((Kind::Source.name(), key.source(&original), original));
            }
            Some(number) => number,
        };
        let number = match number.checked_sub(files.len()) {
            None => {
                let original = files.relative(number as u32);
                return Some((Kind::Path.name(), key.path(&original), original));
            }
            Some(number) => number,
        };
        let (kind, original) = match number.checked_sub(self.shared.len()) {
            None => {
                let (kind, original) = self.shared.get_index(number)?;
                (*kind, original.as_str())
            }
            Some(number) => (number < self.count).then(|| (Kind::Instance, self.instances.get(number)))?,
        };
        Some((kind.name(), key.uid(kind, original), original.to_owned()))
    }
}
