//! A run whose rows hold pseudonyms: UIDs from the moment a file is read, paths when rows go out.
//!
//! In memory paths stay what they are, since files are opened by them and put in order by them.

use super::Archive;
use crate::discover::files::FileId;
use crate::pseudonyms::key::{Key, Kind, PREFIX};
use crate::pseudonyms::names::Names;
use crate::pseudonyms::originals::{Line, Originals};
use crate::rows::row::NewRow;
use crate::rows::view::{RowView, StoredRow};
use std::path::PathBuf;

/// What may lie in the sources that are not on this machine: source, and paths.
pub type Listed = Vec<(String, Vec<String>)>;

/// What a run needs to give pseudonyms, and to know its own from an earlier one.
pub(super) struct Pseudonymizing {
    key: Key,
    sources: Vec<PathBuf>,
    listed: Listed,
    /// Made when there are rows of an earlier run.
    names: Option<Names>,
    originals: Option<Originals>,
}

impl Pseudonymizing {
    /// Replace the UIDs of a row that was read in this run.
    pub fn hide(&mut self, row: &mut NewRow) {
        if let Some(originals) = &mut self.originals {
            originals.keep(&row.info);
        }
        let info = &mut row.info;
        for (kind, uid) in [
            (Kind::Study, &mut info.study_instance_uid),
            (Kind::Series, &mut info.series_instance_uid),
            (Kind::Instance, &mut info.sop_instance_uid),
            (Kind::FrameOfReference, &mut info.frame_of_reference_uid),
        ] {
            *uid = self.key.uid(kind, uid);
        }
    }

    /// Replace source and path of a row that goes out.
    pub fn hide_path(&self, row: &mut RowView<'_>) {
        row.source = self.key.source(&row.source).into();
        row.path = self.key.path(&row.path);
    }

    /// Put the names back that stand for source and path of an earlier run's row; `false` when it has none of this
    /// key's.
    fn reveal(&mut self, row: &mut StoredRow) -> bool {
        let Self {
            key,
            sources,
            listed,
            names,
            ..
        } = self;
        let of_this_key = row
            .source
            .strip_prefix(PREFIX)
            .is_some_and(|rest| rest.starts_with(key.fingerprint()));
        if of_this_key {
            let names = names.get_or_insert_with(|| {
                let mut names = Names::of(key, sources);
                for (source, paths) in listed {
                    names.add(source, paths.iter().map(String::as_str));
                }
                names
            });
            // Without a file behind it, the row counts as one of a vanished file.
            if let Some((source, path)) = names.find(&row.source, &row.path) {
                (row.source, row.path) = (source, path);
            }
        }
        of_this_key
    }
}

impl Archive {
    /// Give pseudonyms with this key, and take over only rows that have them; before all else. `sources` are those of
    /// the run; with `keep_originals` there will be a table.
    pub fn pseudonymize(&mut self, key: Key, sources: Vec<PathBuf>, keep_originals: bool) {
        self.pseudonyms = Some(Pseudonymizing {
            key,
            sources,
            listed: Listed::new(),
            names: None,
            originals: keep_originals.then(Originals::default),
        });
    }

    /// Name what lies on other machines, so that rows of an earlier run are known; after [`Archive::pseudonymize`] and
    /// before they are taken over.
    pub fn name_remote(&mut self, listed: Listed) {
        if let Some(pseudonyms) = &mut self.pseudonyms {
            pseudonyms.listed = listed;
        }
    }

    /// Whether a row of an earlier run can be one of this run's, with its names put back.
    pub(super) fn own_names(&mut self, row: &mut StoredRow) -> bool {
        match &mut self.pseudonyms {
            Some(pseudonyms) => pseudonyms.reveal(row),
            None => !row.source.starts_with(PREFIX),
        }
    }

    /// A line of the table of pseudonyms, by number; `None` after the last one, or when there is to be no table.
    pub fn pseudonym_line(&self, number: usize) -> Option<Line> {
        let Pseudonymizing { key, originals, .. } = self.pseudonyms.as_ref()?;
        originals.as_ref()?.line(number, key, &self.files)
    }

    /// Source and path of a file as rows show them.
    pub(super) fn shown_path(&self, file: FileId) -> PathBuf {
        match &self.pseudonyms {
            None => self.files.locate(file).address(),
            Some(Pseudonymizing { key, .. }) => {
                let source = self
                    .files
                    .source_path(self.files.source_of(file))
                    .to_string_lossy();
                PathBuf::from(format!(
                    "{}/{}",
                    key.source(&source),
                    key.path(&self.files.relative(file))
                ))
            }
        }
    }
}
