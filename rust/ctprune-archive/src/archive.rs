//! The steps from sources to a manifest, each in portions, so that the caller can draw progress and stop.

mod adoption;
mod changes;
mod choosing;
mod dicomdirs;
mod discovery;
mod earlier;
mod failures;
mod member_root;
mod members;
mod output;
mod passes;
mod pseudonymizing;
mod readers;
mod reading;
mod remote;

pub use adoption::Adoption;
pub use changes::{Change, Reason};
pub use choosing::Wish;
pub use pseudonymizing::Listed as ListedElsewhere;

use crate::archive::earlier::Earlier;
use crate::archive::failures::Failures;
use crate::archive::passes::OpenPass;
use crate::archive::pseudonymizing::Pseudonymizing;
use crate::archive::readers::Readers;
use crate::discover::dicomdir::Listed;
use crate::discover::exclusions::Exclusions;
use crate::discover::files::{FileId, Files};
use crate::discover::shard::Shard;
use crate::discover::walk::Walker;
use crate::error::ArchiveError;
use crate::fingerprint_file::{Hasher, Settings};
use crate::methods::gray_slices::SliceFile;
use crate::methods::{Choice, Measured};
use crate::rows::row::{NewRow, Reader};
use crate::rows::table::Table;
use crate::volumes::group::{self, Volumes};
use crate::volumes::order::Order;
use ctprune_core::fingerprint;
use ctprune_core::selection::{NO_DISTANCE, NO_EXEMPLAR};
use regex::Regex;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;

/// How far reading has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files found.
    pub files_found: u64,
    /// Files to read, that is without those known from an earlier run.
    pub files_to_read: u64,
    /// Files read.
    pub files_read: u64,
    /// Bytes to read.
    pub bytes_to_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Slices fingerprinted in this run.
    pub slices_read: u64,
    /// Files taken over unread from an earlier run.
    pub files_reused: u64,
    /// Files of an earlier run that have vanished.
    pub files_vanished: u64,
}

/// An archive, from its files to a manifest.
pub struct Archive {
    settings: Settings,
    exclusions: Exclusions,
    pool: rayon::ThreadPool,
    readers: Readers,
    files: Files,
    table: Table,
    walker: Walker,
    /// DICOMDIRs whose files are looked for.
    listed: VecDeque<Listed>,
    earlier: Earlier,
    /// Files to read.
    queue: Vec<FileId>,
    /// The first of them that was not yet read.
    next: usize,
    /// Files to read that by their names are containers, and whether they were looked for.
    promised: VecDeque<FileId>,
    has_looked: bool,
    /// Whether all is read.
    is_read: bool,
    /// Passes over containers, those within others last.
    passes: Vec<OpenPass>,
    /// Members of each container, with those of the containers in it.
    members: FxHashMap<PathBuf, usize>,
    /// Files of other machines to read.
    remote: Vec<FileId>,
    /// Files of other machines that turned out to be containers when they were read.
    remote_containers: Vec<FileId>,
    /// Rows of the files that another reader may try.
    unsupported: FxHashMap<FileId, Range<usize>>,
    /// What another reader has found in a file so far.
    foreign: Vec<NewRow>,
    progress: Progress,
    failures: Failures,
    pseudonyms: Option<Pseudonymizing>,
    volumes: Volumes,
    refusals: Vec<u32>,
    choice: Option<Choice>,
    /// The share of the files that is read here; `None` reads all.
    shard: Option<Shard>,
}

impl Archive {
    /// An empty archive; `threads` 0 means one per core. So many `reads` of files are in flight; 0 lets their number
    /// follow the source.
    pub fn new(mut settings: Settings, threads: usize, reads: usize) -> Result<Self, ArchiveError> {
        // What is done with a slice here, its fingerprint, waits for nobody.
        settings.read.take_turns = true;
        // Refuses a hash size out of range before any file is opened.
        Hasher::new(&settings)?;
        let pool = readers::pool(threads)?;
        Ok(Self {
            table: Table::new(fingerprint::words(settings.hash_size)),
            settings,
            exclusions: Exclusions::default(),
            readers: Readers::new(reads, pool.current_num_threads())?,
            pool,
            files: Files::default(),
            walker: Walker::default(),
            listed: VecDeque::new(),
            earlier: Earlier::default(),
            queue: Vec::new(),
            next: 0,
            promised: VecDeque::new(),
            has_looked: false,
            is_read: false,
            passes: Vec::new(),
            members: FxHashMap::default(),
            remote: Vec::new(),
            remote_containers: Vec::new(),
            unsupported: FxHashMap::default(),
            foreign: Vec::new(),
            progress: Progress::default(),
            failures: Failures::default(),
            pseudonyms: None,
            volumes: Volumes::default(),
            refusals: Vec::new(),
            choice: None,
            shard: None,
        })
    }

    /// Group into volumes, in order.
    pub fn group(&mut self, order: Order, pattern: Option<&Regex>) {
        let Self {
            pool, table, files, ..
        } = self;
        self.volumes = pool.install(|| group::group(table, files, order, pattern));
        self.refusals = output::refusals(&self.table, &self.files);
        self.choice = None;
    }

    /// Where the pixels of an ordered slice are.
    fn slice_file(&self, slice: usize) -> SliceFile {
        let row = &self.table.rows()[self.volumes.order[slice] as usize];
        let shape = self.table.shape(row);
        SliceFile {
            location: self.files.locate(row.file),
            frame: row.frame,
            pixels: shape.rows as usize * shape.columns as usize,
            is_foreign: row.reader == Reader::Pydicom,
        }
    }

    /// Set a selection among the grouped slices that was made outside: exemplars, itself where kept or [`NO_EXEMPLAR`],
    /// and similarities to them.
    pub fn set_selection(&mut self, exemplar: Vec<u32>, similarity: Vec<f32>) -> Result<(), ArchiveError> {
        let slices = self.volumes.order.len();
        if exemplar.len() != slices || similarity.len() != slices {
            return Err(ArchiveError::SelectionLength {
                slices,
                exemplars: exemplar.len(),
                similarities: similarity.len(),
            });
        }
        if let Some(&exemplar) = exemplar
            .iter()
            .find(|&&exemplar| exemplar as usize >= slices && exemplar != NO_EXEMPLAR)
        {
            return Err(ArchiveError::NotASlice { exemplar, slices });
        }
        self.choice = Some(Choice {
            exemplar,
            measured: Measured::Similarities(similarity),
            threshold: None,
            comparisons: None,
        });
        Ok(())
    }

    /// Exemplar of an ordered slice.
    fn exemplar(&self, slice: usize) -> Option<u32> {
        let exemplar = *self.choice.as_ref()?.exemplar.get(slice)?;
        (exemplar != NO_EXEMPLAR).then_some(exemplar)
    }

    /// How far along the body each dropped slice is from its exemplar, in mm; of those that have positions in one volume.
    pub fn gaps_mm(&self) -> Vec<f32> {
        let Volumes {
            starts, position_mm, ..
        } = &self.volumes;
        let of_volume = |volume: &[usize]| {
            let slices = volume[0]..volume[1];
            let own = slices.clone();
            slices.filter_map(move |slice| {
                let exemplar = self.exemplar(slice)? as usize;
                let gap = (position_mm[slice] - position_mm[exemplar]).abs();
                let counts = exemplar != slice && own.contains(&exemplar) && !gap.is_nan();
                counts.then_some(gap as f32)
            })
        };
        starts.windows(2).flat_map(of_volume).collect()
    }

    /// Distance or similarity of an ordered slice to its exemplar, as the method measures it.
    fn similarity(&self, slice: usize) -> Option<f32> {
        match &self.choice.as_ref()?.measured {
            Measured::Similarities(similarities) => {
                let similarity = *similarities.get(slice)?;
                (!similarity.is_nan()).then_some(similarity)
            }
            Measured::Distances(distances) => {
                let distance = *distances.get(slice)?;
                (distance != NO_DISTANCE).then_some(f32::from(distance))
            }
        }
    }

    /// The last selection.
    pub fn choice(&self) -> Option<&Choice> {
        self.choice.as_ref()
    }

    /// Bytes of a fingerprint in the manifest.
    pub fn fingerprint_bytes(&self) -> usize {
        fingerprint::bytes(self.settings.hash_size)
    }

    /// What decides how files are read.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// How many files could not be read so far.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// The files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The rows.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The volumes, after grouping.
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// Files and rows, to put in directly what comes from no folder.
    pub fn parts_mut(&mut self) -> (&mut Files, &mut Table) {
        (&mut self.files, &mut self.table)
    }
}
