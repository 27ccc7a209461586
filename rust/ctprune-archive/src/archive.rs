//! The steps from sources to a manifest, each in portions, so that the caller can draw progress and stop.

use crate::columns::EarlierRows;
use crate::exclusions::Exclusions;
use crate::files::{FileId, Files};
use crate::method::{Choice, Request, Slices};
use crate::natural;
use crate::reader::{self, Hasher, Settings};
use crate::table::{NewRow, Reader, Row, State, Table};
use crate::volume::{self, Order, Volumes};
use crate::walk::{Found, Walker};
use ctprune_core::fingerprint;
use ctprune_core::hamming::Fingerprints;
use ctprune_core::pixels::SlicePixels;
use ctprune_core::select::{NO_DISTANCE, NO_EXEMPLAR, Selection};
use ctprune_dicom::slice::{Refusal, SliceInfo};
use rayon::prelude::*;
use regex::Regex;
use rustc_hash::FxHashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

/// What earlier tables knew: their files come first in [`Files`].
#[derive(Default)]
struct Earlier {
    rows: usize,
    /// Number of the table that rows are taken from now.
    table: u32,
    /// For each file the first table that knew it: later ones are older.
    table_of: Vec<u32>,
    seen: Vec<bool>,
    reusable: Vec<bool>,
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
    /// Similarities to the exemplars, of a selection that was adopted.
    adopted: Option<Vec<f32>>,
}

impl Archive {
    /// An empty archive; `threads` 0 means one per core.
    pub fn new(mut settings: Settings, threads: usize) -> Result<Self, String> {
        // What is done with a slice here, its fingerprint, waits for nobody.
        settings.read.take_turns = true;
        // Refuses a hash size out of range before any file is opened.
        Hasher::new(&settings)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| format!("cannot start {threads} threads: {error}"))?;
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
            adopted: None,
        })
    }

    /// Go on to another earlier table, older than those before; what those knew of a file holds.
    pub fn begin_earlier(&mut self) {
        self.earlier.table += 1;
    }

    /// Take over rows of an earlier table; before any source is walked.
    pub fn add_earlier(&mut self, batch: &EarlierRows<'_>) -> Result<(), String> {
        for row in 0..batch.rows {
            let (Some(stamp), Some(reader)) = (batch.stamp(row), batch.reader(row)) else {
                continue;
            };
            let source = self.files.source(PathBuf::from(batch.source(row)));
            let (folder, name) = batch.path(row).rsplit_once('/').unwrap_or(("", batch.path(row)));
            let folder = self.files.folder(source, folder);
            let file = self.earlier_file(folder, name, stamp);
            if self.earlier.table_of[file as usize] != self.earlier.table {
                continue;
            }
            match batch.content(row) {
                Some(content) => {
                    self.table.push(NewRow {
                        file,
                        reader,
                        info: batch.info(row),
                        content,
                    })?;
                }
                None => self.earlier.reusable[file as usize] = false,
            }
        }
        self.earlier.rows = self.table.rows().len();
        Ok(())
    }

    fn earlier_file(&mut self, folder: u32, name: &str, stamp: crate::files::Stamp) -> FileId {
        if let Some(file) = self.files.find(folder, name) {
            return file;
        }
        self.earlier.table_of.push(self.earlier.table);
        self.earlier.seen.push(false);
        self.earlier.reusable.push(true);
        let file = self.files.push(folder, name, stamp);
        self.files.index(file);
        file
    }

    /// Do not read files whose path relative to their source matches; before any source is walked. What an earlier
    /// manifest knew of them is not taken over.
    pub fn exclude(&mut self, pattern: Regex, glob: &str) {
        self.exclusions.add(pattern, glob);
    }

    /// Walk this folder too; the path is absolute.
    pub fn add_source(&mut self, root: &Path) {
        self.walker.add(&mut self.files, root);
    }

    /// Read this file too; the path is absolute and its folder counts as the source.
    pub fn add_file(&mut self, path: &Path) -> Result<(), String> {
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(root), Some(name)) = (path.parent(), name) else {
            return Err(format!("{}: not the name of a file", path.display()));
        };
        let meta = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let source = self.files.source(root.to_path_buf());
        let folder = self.files.folder(source, "");
        let found = Found::File {
            folder,
            name,
            stamp: crate::walk::stamp(&meta),
        };
        note(
            &self.exclusions,
            &mut self.files,
            &mut self.table,
            &mut self.earlier,
            &mut self.queue,
            &mut self.progress,
            found,
        )
    }

    /// Walk for about this long; `false` when every folder is listed.
    pub fn discover(&mut self, time: Duration) -> Result<bool, String> {
        let start = Instant::now();
        let Self {
            exclusions,
            walker,
            files,
            table,
            earlier,
            queue,
            progress,
            ..
        } = self;
        let mut failure = Ok(());
        while start.elapsed() < time {
            let more = walker.step(files, &mut |files, found| {
                if failure.is_ok() {
                    failure = note(exclusions, files, table, earlier, queue, progress, found);
                }
            });
            std::mem::replace(&mut failure, Ok(()))?;
            if !more {
                self.finish_discovery();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Drop the rows of files that changed or vanished.
    fn finish_discovery(&mut self) {
        let earlier = &self.earlier;
        for row in 0..earlier.rows {
            let file = self.table.rows()[row].file as usize;
            if !(earlier.seen[file] && earlier.reusable[file]) {
                self.table.retire(row);
            }
        }
        self.progress.files_vanished = earlier.seen.iter().filter(|seen| !**seen).count() as u64;
    }

    /// Read files for about this long; `false` when all are read.
    pub fn read(&mut self, time: Duration) -> Result<bool, String> {
        let start = Instant::now();
        let mut portion = 8 * self.pool.current_num_threads();
        while start.elapsed() < time {
            let done = self.progress.files_read as usize;
            let batch = &self.queue[done..(done + portion).min(self.queue.len())];
            if batch.is_empty() {
                return Ok(false);
            }
            let (files, settings) = (&self.files, &self.settings);
            let before = Instant::now();
            let results: Vec<Vec<NewRow>> = self.pool.install(|| {
                let read = |&file: &FileId| reader::rows_of_file(&files.absolute(file), file, settings);
                batch.par_iter().with_max_len(1).map(read).collect()
            });
            self.progress.files_read += batch.len() as u64;
            self.progress.bytes_read += batch.iter().map(|&file| files.stamp(file).size).sum::<u64>();
            for row in results.into_iter().flatten() {
                self.push(row)?;
            }
            // Long enough that waiting for the slowest file costs little, short enough to stop quickly.
            if before.elapsed() < time / 8 {
                portion *= 2;
            }
        }
        Ok((self.progress.files_read as usize) < self.queue.len())
    }

    fn push(&mut self, row: NewRow) -> Result<(), String> {
        self.progress.slices_read += u64::from(row.content.is_ok());
        self.table.push(row)
    }

    /// DICOM files of this run that are of a kind unknown here, and not broken: another reader may try.
    pub fn unsupported(&mut self) -> Vec<FileId> {
        let first = self.earlier.rows;
        let rows = &self.table.rows()[first..];
        let mut start = first;
        // A file's rows stand together, in the order of reading.
        for of_file in rows.chunk_by(|a, b| a.file == b.file) {
            let has = |state| of_file.iter().any(|row: &Row| row.state == state);
            if has(State::Unsupported) && !has(State::Failed) {
                self.unsupported
                    .insert(of_file[0].file, start..start + of_file.len());
            }
            start += of_file.len();
        }
        let mut files: Vec<FileId> = self.unsupported.keys().copied().collect();
        files.sort_unstable();
        files
    }

    /// Take in a slice that another reader (pydicom) found in a file of [`Archive::unsupported`].
    pub fn add_foreign(
        &mut self,
        file: FileId,
        info: SliceInfo,
        pixels: &SlicePixels<'_>,
    ) -> Result<(), String> {
        let content = Hasher::new(&self.settings)?
            .content(pixels)
            .map_err(Refusal::Failed);
        self.foreign.push(NewRow {
            file,
            reader: Reader::Pydicom,
            info,
            content,
        });
        Ok(())
    }

    /// End a file of [`Archive::unsupported`]: its rows give way to what the other reader found in it; or they stay,
    /// with what that reader `refused` it for.
    pub fn end_foreign(&mut self, file: FileId, refused: Option<&str>) -> Result<(), String> {
        let rows = self
            .unsupported
            .remove(&file)
            .ok_or("only a file of an unsupported kind can be replaced")?;
        let found = std::mem::take(&mut self.foreign);
        if found.iter().any(|row| row.file != file) {
            return Err("slices of another file".into());
        }
        if let Some(reason) = refused {
            for row in rows {
                if self.table.rows()[row].state == State::Unsupported {
                    self.table.refuse(row, reason);
                }
            }
            return Ok(());
        }
        rows.for_each(|row| self.table.retire(row));
        found.into_iter().try_for_each(|row| self.push(row))
    }

    /// First failure in the order of reading: where the file is, and the reason.
    pub fn first_failure(&self) -> Option<(PathBuf, String)> {
        let row = self
            .table
            .rows()
            .iter()
            .find(|row| matches!(row.state, State::Failed | State::Unsupported))?;
        Some((self.files.absolute(row.file), self.table.reason(row).to_owned()))
    }

    /// Group into volumes, in order.
    pub fn group(&mut self, order: Order, pattern: Option<&Regex>) {
        let Self {
            pool, table, files, ..
        } = self;
        self.volumes = pool.install(|| volume::group(table, files, order, pattern));
        self.refusals = refusals(&self.table, &self.files);
        self.choice = None;
        self.adopted = None;
    }

    /// Choose among the grouped slices, within volumes or in the whole archive.
    pub fn select(
        &mut self,
        request: &Request,
        whole_archive: bool,
        tick: &mut (dyn FnMut(usize) -> std::ops::ControlFlow<()> + Send),
    ) -> Result<(), String> {
        let method = request.method()?;
        let fingerprints: Vec<u64> = self
            .volumes
            .order
            .iter()
            .flat_map(|&row| self.table.fingerprint(row))
            .copied()
            .collect();
        let whole = [0, self.volumes.order.len()];
        let fingerprints = Fingerprints::new(self.table.words(), &fingerprints).map_err(|e| e.to_string())?;
        let groups = if whole_archive {
            &whole
        } else {
            &self.volumes.starts[..]
        };
        let choice = self
            .pool
            .install(|| method.select(Slices { fingerprints, groups }, tick));
        self.choice = Some(choice.map_err(|error| error.to_string())?);
        self.adopted = None;
        Ok(())
    }

    /// Take over a choice among the grouped slices that was made outside: exemplars, itself where kept, and similarities
    /// to them.
    pub fn adopt(&mut self, exemplar: Vec<u32>, similarity: Vec<f32>) -> Result<(), String> {
        let slices = self.volumes.order.len();
        if exemplar.len() != slices || similarity.len() != slices {
            let (exemplars, similarities) = (exemplar.len(), similarity.len());
            return Err(format!(
                "expected exemplars and similarities of {slices} slices, found {exemplars} and {similarities}"
            ));
        }
        if let Some(exemplar) = exemplar.iter().find(|&&exemplar| exemplar as usize >= slices) {
            return Err(format!("exemplar {exemplar} is not one of {slices} slices"));
        }
        let distance = vec![NO_DISTANCE; slices];
        self.choice = Some(Choice {
            selection: Selection { exemplar, distance },
            threshold: None,
        });
        self.adopted = Some(similarity);
        Ok(())
    }

    /// Number of manifest rows.
    pub fn lines(&self) -> usize {
        self.volumes.order.len() + self.refusals.len()
    }

    /// Table row at this manifest row: slices in order, then refusals.
    pub(crate) fn line_row(&self, line: usize) -> u32 {
        let slices = &self.volumes.order;
        slices
            .get(line)
            .copied()
            .unwrap_or_else(|| self.refusals[line - slices.len()])
    }

    /// Exemplar of an ordered slice.
    pub(crate) fn exemplar(&self, slice: usize) -> Option<u32> {
        let exemplar = *self.choice.as_ref()?.selection.exemplar.get(slice)?;
        (exemplar != NO_EXEMPLAR).then_some(exemplar)
    }

    /// Whether an ordered slice is kept.
    pub(crate) fn is_kept(&self, slice: usize) -> bool {
        self.exemplar(slice) == Some(slice as u32)
    }

    /// Distance of an ordered slice to its exemplar, or the similarity where the choice was adopted.
    pub(crate) fn similarity(&self, slice: usize) -> Option<f32> {
        if let Some(similarity) = &self.adopted {
            return similarity.get(slice).copied();
        }
        let distance = *self.choice.as_ref()?.selection.distance.get(slice)?;
        (distance != NO_DISTANCE).then_some(f32::from(distance))
    }

    /// The threshold that the last selection used.
    pub fn threshold(&self) -> Option<u32> {
        self.choice.as_ref()?.threshold
    }

    /// Bytes of a fingerprint in the manifest.
    pub fn fingerprint_bytes(&self) -> usize {
        fingerprint::bytes(self.settings.hash_size)
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
}

/// Take in one thing that was found.
fn note(
    exclusions: &Exclusions,
    files: &mut Files,
    table: &mut Table,
    earlier: &mut Earlier,
    queue: &mut Vec<FileId>,
    progress: &mut Progress,
    found: Found<'_>,
) -> Result<(), String> {
    progress.files_found += 1;
    match found {
        Found::Problem {
            folder,
            name,
            refusal,
        } => {
            let known = files.find(folder, name);
            if let Some(file) = known {
                earlier.seen[file as usize] = true;
                earlier.reusable[file as usize] = false;
            }
            let file = known.unwrap_or_else(|| files.push(folder, name, Default::default()));
            table.push(reader::refusal(file, Reader::None, refusal))
        }
        Found::File { folder, name, stamp } => {
            let known = files.find(folder, name);
            let file = known.unwrap_or_else(|| files.push(folder, name, stamp));
            let path = if exclusions.is_empty() {
                String::new()
            } else {
                files.relative(file)
            };
            let excluded = exclusions.reason(&path);
            if known.is_some() {
                let place = file as usize;
                earlier.seen[place] = true;
                earlier.reusable[place] &= excluded.is_none() && files.stamp(file) == stamp;
                if earlier.reusable[place] {
                    progress.files_reused += 1;
                    return Ok(());
                }
                files.set_stamp(file, stamp);
            }
            if let Some(reason) = excluded {
                let reason = Refusal::Skipped(reason.to_owned());
                return table.push(reader::refusal(file, Reader::None, reason));
            }
            queue.push(file);
            progress.files_to_read += 1;
            progress.bytes_to_read += stamp.size;
            Ok(())
        }
    }
}

/// Refusals in the order of their paths.
fn refusals(table: &Table, files: &Files) -> Vec<u32> {
    let refused = |state| matches!(state, State::Skipped | State::Unsupported | State::Failed);
    let numbers = (0u32..)
        .zip(table.rows())
        .filter(|(_, row)| refused(row.state))
        .map(|(number, _)| number);
    let mut refusals: Vec<u32> = numbers.collect();
    refusals.sort_by_cached_key(|&number| {
        let row = &table.rows()[number as usize];
        (
            files.source_of(row.file),
            NaturalPath(files.relative(row.file)),
            row.frame,
        )
    });
    refusals
}

/// A path that sorts in natural order.
#[derive(PartialEq, Eq)]
struct NaturalPath(String);

impl Ord for NaturalPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        natural::compare(&self.0, &other.0)
    }
}

impl PartialOrd for NaturalPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
