//! What an earlier selection decided, to keep it or to say what has become another decision.

use super::Archive;
use crate::discover::files::FileId;
use crate::rows::row::State;
use ctprune_core::selection::NO_EXEMPLAR;
use rustc_hash::FxHashMap;

/// The slices of the earlier selection, numbered as they stood in its manifest.
#[derive(Default)]
pub(super) struct Decisions {
    /// For each the one that covered it, itself where it was kept, or [`NO_EXEMPLAR`].
    exemplars: Vec<u32>,
    /// Numbers of slices by rows of the table: as a rule, both go up together.
    of_row: Vec<Run>,
    /// Those whose rows a later table had anew, by file and frame, and whether the file was still the same.
    lent: FxHashMap<(FileId, u32), (u32, bool)>,
}

/// So many rows of the table from one on, whose slices have numbers from another one on.
struct Run {
    row: u32,
    number: u32,
    len: u32,
}

/// What is known of a slice from the earlier selection.
#[derive(Clone, Copy)]
struct Decided {
    number: u32,
    unchanged: bool,
}

impl Decisions {
    /// The next slice of the manifest; returns its number.
    pub fn push(&mut self, exemplar: Option<i64>) -> u32 {
        let number = self.exemplars.len() as u32;
        let exemplar = exemplar.and_then(|exemplar| u32::try_from(exemplar).ok());
        self.exemplars.push(exemplar.unwrap_or(NO_EXEMPLAR));
        number
    }

    /// A slice is this row of the table; rows come in order.
    pub fn belongs_to(&mut self, row: usize, number: u32) {
        let row = row as u32;
        match self.of_row.last_mut() {
            Some(run) if (row, number) == (run.row + run.len, run.number + run.len) => run.len += 1,
            _ => self.of_row.push(Run { row, number, len: 1 }),
        }
    }

    /// The number of the slice that is a row of the table.
    fn number_of(&self, row: u32) -> Option<u32> {
        let after = self.of_row.partition_point(|run| run.row <= row);
        let run = &self.of_row[after.checked_sub(1)?];
        let at = row - run.row;
        (at < run.len).then(|| run.number + at)
    }

    /// A slice is a row of another table.
    pub fn lend(&mut self, key: (FileId, u32), number: u32, unchanged: bool) {
        self.lent.insert(key, (number, unchanged));
    }

    fn was_kept(&self, number: u32) -> bool {
        self.exemplars[number as usize] == number
    }
}

/// One slice that is decided on otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its row of the manifest.
    pub row: u32,
    /// Whether it is kept now, and was not.
    pub is_kept: bool,
    /// Why.
    pub reason: Reason,
}

/// Why a slice is decided on otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The slice is not what it was.
    OwnFile,
    /// It is covered by one that the earlier selection did not know.
    NewExemplar,
    /// It is covered by one that was dropped.
    OtherExemplar,
    /// What covered it has vanished.
    Gone,
    /// What covered it is not what it was.
    Changed,
    /// What covered it is dropped.
    Dropped,
    /// None of these: slices that are compared with it are new or gone.
    Neighbors,
}

impl Reason {
    /// All, in the order of their indices.
    pub const ALL: [Self; 7] = [
        Self::OwnFile,
        Self::NewExemplar,
        Self::OtherExemplar,
        Self::Gone,
        Self::Changed,
        Self::Dropped,
        Self::Neighbors,
    ];

    /// Its index in [`Reason::ALL`].
    pub fn index(self) -> u8 {
        self as u8
    }

    /// In words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::OwnFile => "its file has changed",
            Self::NewExemplar => "a new slice covers it",
            Self::OtherExemplar => "a slice that was dropped before covers it",
            Self::Gone => "its exemplar is gone",
            Self::Changed => "the file of its exemplar has changed",
            Self::Dropped => "its exemplar is dropped now",
            Self::Neighbors => "slices that are compared with it are new or gone",
        }
    }
}

impl Archive {
    /// Whether each grouped slice was kept by the earlier selection, and its file is the same.
    pub fn kept_before(&self) -> Vec<bool> {
        let again = self.read_again();
        let kept = |&row: &u32| {
            self.decided(row, &again)
                .is_some_and(|it| it.unchanged && self.earlier.decisions.was_kept(it.number))
        };
        self.volumes.order.iter().map(kept).collect()
    }

    /// The slices that are decided on otherwise than before, in order.
    pub fn changes(&self) -> Vec<Change> {
        let decisions = &self.earlier.decisions;
        let again = self.read_again();
        let is_kept = |slice: usize| self.exemplar(slice) == Some(slice as u32);
        // Of each slice before, whether it is kept now, and its file the same; none when it is gone.
        let mut now: Vec<Option<(bool, bool)>> = vec![None; decisions.exemplars.len()];
        for (slice, &row) in self.volumes.order.iter().enumerate() {
            if let Some(it) = self.decided(row, &again) {
                now[it.number as usize] = Some((is_kept(slice), it.unchanged));
            }
        }
        let reason = |slice: usize, it: Decided| {
            if !it.unchanged {
                return Reason::OwnFile;
            }
            if is_kept(slice) {
                let exemplar = decisions.exemplars[it.number as usize];
                return match now.get(exemplar as usize) {
                    None => Reason::Neighbors,
                    Some(None) => Reason::Gone,
                    Some(Some((_, false))) => Reason::Changed,
                    Some(Some((false, true))) => Reason::Dropped,
                    Some(Some((true, true))) => Reason::Neighbors,
                };
            }
            let exemplar = self
                .exemplar(slice)
                .map(|slice| self.volumes.order[slice as usize]);
            match exemplar.map(|row| self.decided(row, &again)) {
                None => Reason::Neighbors,
                Some(None) => Reason::NewExemplar,
                Some(Some(it)) if !it.unchanged => Reason::Changed,
                Some(Some(it)) if !decisions.was_kept(it.number) => Reason::OtherExemplar,
                Some(Some(_)) => Reason::Neighbors,
            }
        };
        let change = |(slice, &row): (usize, &u32)| {
            let it = self.decided(row, &again)?;
            let differs = is_kept(slice) != decisions.was_kept(it.number);
            differs.then(|| Change {
                row: slice as u32,
                is_kept: is_kept(slice),
                reason: reason(slice, it),
            })
        };
        self.volumes.order.iter().enumerate().filter_map(change).collect()
    }

    /// Numbers of slices before of files that were read again, by file and frame.
    fn read_again(&self) -> FxHashMap<(FileId, u32), u32> {
        let decisions = &self.earlier.decisions;
        let stale = (0u32..)
            .zip(self.table.rows())
            .filter(|(_, row)| row.state == State::Stale);
        stale
            .filter_map(|(at, row)| Some(((row.file, row.frame), decisions.number_of(at)?)))
            .collect()
    }

    fn decided(&self, row: u32, again: &FxHashMap<(FileId, u32), u32>) -> Option<Decided> {
        let decisions = &self.earlier.decisions;
        if let Some(number) = decisions.number_of(row) {
            let unchanged = true;
            return Some(Decided { number, unchanged });
        }
        let at = &self.table.rows()[row as usize];
        let key = (at.file, at.frame);
        if let Some(&number) = again.get(&key) {
            let unchanged = self.earlier.is_same(at.file);
            return Some(Decided { number, unchanged });
        }
        let &(number, unchanged) = decisions.lent.get(&key)?;
        let unchanged = unchanged && self.earlier.is_same(at.file);
        Some(Decided { number, unchanged })
    }
}
