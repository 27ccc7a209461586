//! The steps from sources to a manifest, each in portions, so that the caller can draw progress and stop.

mod discovery;
mod earlier;
mod output;
mod reading;

use crate::archive::earlier::Earlier;
use crate::discover::exclusions::Exclusions;
use crate::discover::files::{FileId, Files};
use crate::discover::walk::Walker;
use crate::error::ArchiveError;
use crate::fingerprint_file::{Hasher, Settings};
use crate::methods::pixel_sweep::{Decode, Reading, SliceFile};
use crate::methods::{Choice, Measured, Request, Slices};
use crate::rows::row::{NewRow, Reader};
use crate::rows::table::Table;
use crate::volumes::group::{self, Volumes};
use crate::volumes::order::Order;
use ctprune_core::fingerprint;
use ctprune_core::selection::{NO_DISTANCE, NO_EXEMPLAR, SelectError};
use ctprune_core::similarity::hamming::Fingerprints;
use ctprune_core::watch::Watch;
use ctprune_dicom::slice::ReadOptions;
use regex::Regex;
use rustc_hash::FxHashMap;
use std::ops::Range;

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
    /// Files of an earlier run that are not there any more.
    pub files_vanished: u64,
}

/// An archive on its way to a manifest.
pub struct Archive {
    settings: Settings,
    exclusions: Exclusions,
    pool: rayon::ThreadPool,
    files: Files,
    table: Table,
    walker: Walker,
    earlier: Earlier,
    queue: Vec<FileId>,
    /// Rows of the files that another reader may try.
    unsupported: FxHashMap<FileId, Range<usize>>,
    /// What another reader has found in a file so far.
    foreign: Vec<NewRow>,
    progress: Progress,
    volumes: Volumes,
    refusals: Vec<u32>,
    choice: Option<Choice>,
}

impl Archive {
    /// An empty archive; `threads` 0 means one per core.
    pub fn new(mut settings: Settings, threads: usize) -> Result<Self, ArchiveError> {
        // What is done with a slice here, its fingerprint, waits for nobody.
        settings.read.take_turns = true;
        // Refuses a hash size out of range before any file is opened.
        Hasher::new(&settings)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| ArchiveError::Threads {
                threads,
                found: error.to_string(),
            })?;
        Ok(Self {
            table: Table::new(fingerprint::words(settings.hash_size)),
            settings,
            exclusions: Exclusions::default(),
            pool,
            files: Files::default(),
            walker: Walker::default(),
            earlier: Earlier::default(),
            queue: Vec::new(),
            unsupported: FxHashMap::default(),
            foreign: Vec::new(),
            progress: Progress::default(),
            volumes: Volumes::default(),
            refusals: Vec::new(),
            choice: None,
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

    /// Choose among the grouped slices, within volumes or in the whole archive; `decode` reads what only another reader
    /// can.
    pub fn choose(
        &self,
        request: &Request,
        whole_archive: bool,
        decode: &Decode<'_>,
        watch: &Watch,
    ) -> Result<Choice, SelectError> {
        let method = request.method()?;
        let fingerprints: Vec<u64> = self
            .volumes
            .order
            .iter()
            .flat_map(|&row| self.table.fingerprint(row))
            .copied()
            .collect();
        let whole = [0, self.volumes.order.len()];
        // A slice that is read for its pixels may wait, unlike one that is fingerprinted.
        let options = ReadOptions {
            take_turns: false,
            ..self.settings.read.clone()
        };
        let slices = Slices {
            fingerprints: Fingerprints::new(self.table.words(), &fingerprints)
                .expect("the table holds whole fingerprints of a length that was checked"),
            groups: if whole_archive {
                &whole
            } else {
                &self.volumes.starts
            },
            file_of: &|slice| self.slice_file(slice),
            reading: &Reading {
                intensity: self.settings.intensity,
                options: &options,
                decode,
            },
        };
        self.pool.install(|| method.select(slices, watch))
    }

    /// Take a choice of [`Archive::choose`] among the grouped slices.
    pub fn set_choice(&mut self, choice: Choice) {
        self.choice = Some(choice);
    }

    /// Where the pixels of an ordered slice are.
    fn slice_file(&self, slice: usize) -> SliceFile {
        let row = &self.table.rows()[self.volumes.order[slice] as usize];
        let shape = self.table.shape(row);
        SliceFile {
            path: self.files.absolute(row.file),
            frame: row.frame,
            pixels: shape.rows as usize * shape.columns as usize,
            is_foreign: row.reader == Reader::Pydicom,
        }
    }

    /// Set a selection among the grouped slices that was made outside: exemplars, itself where kept, and similarities
    /// to them.
    pub fn set_selection(&mut self, exemplar: Vec<u32>, similarity: Vec<f32>) -> Result<(), ArchiveError> {
        let slices = self.volumes.order.len();
        if exemplar.len() != slices || similarity.len() != slices {
            return Err(ArchiveError::SelectionLength {
                slices,
                exemplars: exemplar.len(),
                similarities: similarity.len(),
            });
        }
        if let Some(&exemplar) = exemplar.iter().find(|&&exemplar| exemplar as usize >= slices) {
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

    /// Distance or similarity of an ordered slice to its exemplar, as the method measures it.
    fn similarity(&self, slice: usize) -> Option<f32> {
        match &self.choice.as_ref()?.measured {
            Measured::Similarities(similarities) => similarities.get(slice).copied(),
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
