//! From grouped slices to a choice among them: of all volumes or of some, with earlier exemplars first or not.

use super::Archive;
use crate::methods::gray_slices::{Decode, Reading};
use crate::methods::{Choice, Comparisons, Measured, Request, Slices};
use crate::open::Fetch;
use ctprune_core::selection::{NO_DISTANCE, NO_EXEMPLAR, Reach, SelectError};
use ctprune_core::similarity::hamming::Fingerprints;
use ctprune_core::watch::Watch;
use ctprune_dicom::code::Reason;
use ctprune_dicom::slice::ReadOptions;
use std::ops::Range;

/// What is chosen from, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// Compare slices of the whole archive, not only those of a volume.
    pub whole_archive: bool,
    /// Keep what the earlier selection kept, and compare the others with that first.
    pub stable: bool,
    /// Choose within these volumes, ascending, only.
    pub volumes: Option<&'a [u32]>,
}

/// Slices in the order in which the rule walks through them; groups follow each other.
struct Walk {
    slices: Vec<u32>,
    starts: Vec<usize>,
}

impl Walk {
    /// In each group first those that are `ahead`, then the others.
    fn new(groups: &[Range<usize>], ahead: Option<&[bool]>) -> Self {
        let (mut slices, mut starts) = (Vec::new(), vec![0]);
        for group in groups {
            let numbers = || group.clone().map(|slice| slice as u32);
            match ahead {
                None => slices.extend(numbers()),
                Some(ahead) => {
                    slices.extend(numbers().filter(|&slice| ahead[slice as usize]));
                    slices.extend(numbers().filter(|&slice| !ahead[slice as usize]));
                }
            }
            starts.push(slices.len());
        }
        Self { slices, starts }
    }
}

impl Archive {
    /// Leave these grouped slices out, by their numbers in order, each for one reason; another grouping follows.
    pub fn gate(&mut self, slices: &[u32], reason: &Reason) {
        for &slice in slices {
            self.table
                .gate(self.volumes.order[slice as usize] as usize, reason);
        }
    }

    /// Choose among the grouped slices; `decode` reads what only another reader can, `fetch` gives what
    /// is on other machines. Slices that are not chosen from have no exemplar.
    pub fn choose(
        &self,
        request: &Request,
        wish: Wish<'_>,
        decode: &Decode<'_>,
        fetch: Option<&dyn Fetch>,
        watch: &Watch,
    ) -> Result<Choice, SelectError> {
        let groups = self.groups(wish);
        if !wish.stable {
            return self.walk(&Walk::new(&groups, None), request, decode, fetch, watch);
        }
        // What was kept comes first and so stays, since no two of it are similar: it was kept with the same options.
        let mut before = self.kept_before();
        if wish.volumes.is_some() {
            let mut within = vec![false; before.len()];
            groups
                .iter()
                .for_each(|group| within[group.clone()].copy_from_slice(&before[group.clone()]));
            before = within;
        }
        let first = self.walk(&Walk::new(&groups, Some(&before)), request, decode, fetch, watch)?;
        let kept: Vec<bool> = first.kept().collect();
        if kept == before {
            return Ok(first);
        }
        // New slices are kept, too. The exemplar is the first in order among all, so that the next run finds the same.
        self.walk(&Walk::new(&groups, Some(&kept)), request, decode, fetch, watch)
    }

    fn groups(&self, wish: Wish<'_>) -> Vec<Range<usize>> {
        let starts = &self.volumes.starts;
        let whole = [0, self.volumes.order.len()];
        match wish.volumes {
            Some(volumes) => {
                let of = |&volume: &u32| starts[volume as usize]..starts[volume as usize + 1];
                volumes.iter().map(of).collect()
            }
            None => {
                let bounds: &[usize] = if wish.whole_archive { &whole } else { starts };
                bounds.windows(2).map(|pair| pair[0]..pair[1]).collect()
            }
        }
    }

    fn walk(
        &self,
        walk: &Walk,
        request: &Request,
        decode: &Decode<'_>,
        fetch: Option<&dyn Fetch>,
        watch: &Watch,
    ) -> Result<Choice, SelectError> {
        let method = request.method()?;
        let fingerprints: Vec<u64> = walk
            .slices
            .iter()
            .flat_map(|&slice| self.table.fingerprint(self.volumes.order[slice as usize]))
            .copied()
            .collect();
        // Only where it is asked for: with many millions of slices it counts.
        let position_mm: Vec<f64> = match request.max_gap_mm {
            None => Vec::new(),
            Some(_) => {
                let position = |&slice: &u32| self.volumes.position_mm[slice as usize];
                walk.slices.iter().map(position).collect()
            }
        };
        let reach = match request.max_gap_mm {
            None => Reach::ANY,
            Some(most) => Reach::within(&position_mm, most)?,
        };
        // A slice that is read for its pixels may wait, unlike one that is fingerprinted.
        let options = ReadOptions {
            take_turns: false,
            ..self.settings.read.clone()
        };
        let slices = Slices {
            fingerprints: Fingerprints::new(self.table.words(), &fingerprints)
                .expect("the table holds whole fingerprints of a length that was checked"),
            groups: &walk.starts,
            reach,
            file_of: &|at| self.slice_file(walk.slices[at] as usize),
            reading: &Reading {
                intensity: self.settings.intensity,
                options: &options,
                fetch,
                decode,
            },
        };
        let choice = self.pool.install(|| method.select(slices, watch))?;
        Ok(choice.numbered(&walk.slices, self.volumes.order.len()))
    }

    /// Take a choice of [`Archive::choose`] among the grouped slices; one in some volumes is added to what there is.
    pub fn set_choice(&mut self, choice: Choice, in_some_volumes: bool) {
        self.choice = Some(match self.choice.take() {
            Some(before) if in_some_volumes => before.with(choice),
            _ => choice,
        });
    }
}

impl Choice {
    /// Whether each slice is kept.
    fn kept(&self) -> impl Iterator<Item = bool> {
        (0u32..)
            .zip(&self.exemplar)
            .map(|(slice, &exemplar)| slice == exemplar)
    }

    /// From numbers in a walk to those of all slices.
    fn numbered(self, walk: &[u32], slices: usize) -> Self {
        let in_order = walk.len() == slices && walk.is_sorted();
        if in_order {
            return self;
        }
        let mut exemplar = vec![NO_EXEMPLAR; slices];
        for (&slice, &found) in walk.iter().zip(&self.exemplar) {
            exemplar[slice as usize] = walk.get(found as usize).copied().unwrap_or(NO_EXEMPLAR);
        }
        let measured = match self.measured {
            Measured::Distances(found) => {
                Measured::Distances(spread(walk, &found, vec![NO_DISTANCE; slices]))
            }
            Measured::Similarities(found) => {
                Measured::Similarities(spread(walk, &found, vec![f32::NAN; slices]))
            }
        };
        Self {
            exemplar,
            measured,
            ..self
        }
    }

    /// What either has; they choose among different slices.
    fn with(mut self, other: Self) -> Self {
        let has = |slice: usize| other.exemplar[slice] != NO_EXEMPLAR;
        if let (Measured::Similarities(mine), Measured::Similarities(others)) =
            (&mut self.measured, &other.measured)
        {
            for slice in (0..others.len()).filter(|&slice| has(slice)) {
                self.exemplar[slice] = other.exemplar[slice];
                mine[slice] = others[slice];
            }
        }
        self.comparisons = match (self.comparisons, other.comparisons) {
            (Some(mine), Some(others)) => Some(mine.with(others)),
            (mine, others) => mine.or(others),
        };
        self.threshold = other.threshold.or(self.threshold);
        self
    }
}

impl Comparisons {
    fn with(mut self, other: Self) -> Self {
        self.pairs += other.pairs;
        self.bounded += other.bounded;
        self.left_out.extend(other.left_out);
        self
    }
}

fn spread<T: Copy>(walk: &[u32], found: &[T], mut into: Vec<T>) -> Vec<T> {
    for (&slice, &value) in walk.iter().zip(found) {
        into[slice as usize] = value;
    }
    into
}
