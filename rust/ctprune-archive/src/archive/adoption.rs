//! Selections that were made elsewhere, volume by volume: by a shard, or in a run that is merged.

use super::Archive;
use crate::methods::{Choice, Comparisons, Measured};
use crate::rows::batch::for_each_row;
use crate::rows::row::State;
use crate::rows::view::StoredRow;
use arrow_array::RecordBatch;
use ctprune_core::selection::NO_EXEMPLAR;
use rustc_hash::FxHashMap;
use std::convert::Infallible;

/// Takes selections over for those volumes that have the same slices here.
pub struct Adoption {
    /// By address and frame of its first slice, the number of a volume.
    volumes: FxHashMap<(String, u32), u32>,
    exemplar: Vec<u32>,
    similarity: Vec<f32>,
    /// The slices of a volume that have come so far, and the row of the first.
    pending: Vec<StoredRow>,
    volume: Option<i64>,
    row: i64,
}

impl Adoption {
    /// For the grouped slices of an archive.
    pub fn new(archive: &Archive) -> Self {
        let volumes = &archive.volumes;
        let first = |(volume, &start): (u32, &usize)| {
            let row = archive.table.rows()[*volumes.order.get(start)? as usize];
            Some(((archive.shown_address(row.file), row.frame), volume))
        };
        Self {
            volumes: (0u32..).zip(&volumes.starts).filter_map(first).collect(),
            exemplar: vec![NO_EXEMPLAR; volumes.order.len()],
            similarity: vec![f32::NAN; volumes.order.len()],
            pending: Vec::new(),
            volume: None,
            row: 0,
        }
    }

    /// Go on to another table.
    pub fn begin(&mut self) {
        (self.volume, self.row) = (None, 0);
        self.pending.clear();
    }

    /// The next rows of a table; those of a volume follow each other.
    pub fn add(&mut self, archive: &Archive, batch: &RecordBatch) {
        let _ = for_each_row::<Infallible>(batch, |row| {
            if row.volume != self.volume || row.status.is_none_or(|status| !status.is_slice()) {
                self.settle(archive);
                self.volume = row.volume;
            }
            if row.volume.is_some() {
                self.pending.push(row);
            }
            Ok(())
        });
    }

    /// All rows of a table were given.
    pub fn settle(&mut self, archive: &Archive) {
        let rows = std::mem::take(&mut self.pending);
        let first = self.row;
        self.row += rows.len() as i64;
        let Some(start) = self.same_volume(archive, &rows) else {
            return;
        };
        for (at, row) in rows.iter().enumerate() {
            let exemplar = row.exemplar.map(|exemplar| exemplar - first);
            let Some(exemplar) = exemplar.filter(|exemplar| (0..rows.len() as i64).contains(exemplar)) else {
                continue;
            };
            self.exemplar[start + at] = (start as i64 + exemplar) as u32;
            self.similarity[start + at] = row.similarity;
        }
    }

    /// Where the volume of these rows starts, if it has the same slices in the same order, unchanged.
    fn same_volume(&self, archive: &Archive, rows: &[StoredRow]) -> Option<usize> {
        let head = rows.first()?;
        let volume = *self.volumes.get(&(head.address(), head.info.frame))? as usize;
        let (start, end) = (archive.volumes.starts[volume], archive.volumes.starts[volume + 1]);
        let numbers = &archive.volumes.order[start..end];
        let same = |(&number, row): (&u32, &StoredRow)| {
            let here = &archive.table.rows()[number as usize];
            here.state == State::Slice
                && here.frame == row.info.frame
                && archive.files.stamp(here.file) == row.stamp
                && archive.shown_address(here.file) == row.address()
        };
        (numbers.len() == rows.len() && numbers.iter().zip(rows).all(same)).then_some(start)
    }
}

impl Archive {
    /// Take what was adopted; returns the volumes that are still to be chosen from.
    pub fn adopt(&mut self, adoption: Adoption) -> Vec<u32> {
        let open = |volume: &u32| {
            let volume = *volume as usize;
            let slices = self.volumes.starts[volume]..self.volumes.starts[volume + 1];
            adoption.exemplar[slices].contains(&NO_EXEMPLAR)
        };
        let open = (0..self.volumes.len() as u32).filter(open).collect();
        self.choice = Some(Choice {
            exemplar: adoption.exemplar,
            measured: Measured::Similarities(adoption.similarity),
            threshold: None,
            comparisons: Some(Comparisons {
                pairs: 0,
                bounded: 0,
                left_out: Vec::new(),
            }),
        });
        open
    }

    /// Volumes that belong to the archive's share: by the address of their first slice.
    pub fn volumes_of(&self, shard: crate::discover::shard::Shard) -> Vec<u32> {
        let mine = |volume: &u32| {
            let row = self.volumes.order[self.volumes.starts[*volume as usize]];
            shard.holds(&self.address(self.table.rows()[row as usize].file))
        };
        (0..self.volumes.len() as u32).filter(mine).collect()
    }

    /// The address of a file as rows show it.
    fn shown_address(&self, file: u32) -> String {
        match self.pseudonyms {
            None => self.address(file),
            Some(_) => self.shown_path(file).to_string_lossy().into_owned(),
        }
    }

    pub(super) fn address(&self, file: u32) -> String {
        self.files
            .address(self.files.folder_of(file), self.files.name(file))
    }
}

impl StoredRow {
    fn address(&self) -> String {
        format!("{}/{}", self.source, self.path)
    }
}
