//! Selection by the slices' own pixels: volumes are read, selected from at all thresholds, and let go.

use super::gray_slices::{GrayResult, GraySlice, Reading, SliceFile, Source, read, read_at_once, sources};
use super::{Choice, Comparisons, Measured, Method, Share, Slices};
use crate::open::is_packed;
use crate::pixels::PixelError;
use ctprune_core::option::OptionError;
use ctprune_core::selection::pixels::{Candidate, PixelCover, PixelSelection, cover_at, exemplars};
use ctprune_core::selection::{Reach, SelectError, nearest_kept};
use ctprune_core::similarity::Measure;
use ctprune_core::watch::Watch;
use rayon::prelude::*;
use std::ops::Deref;

/// Pixels of volumes that are read together: what is in flight is that much, or one volume.
const PIXELS_TOGETHER: usize = 1 << 26;

/// The same for volumes in a container that is read from its start, each time that slices of it are read.
const PACKED_PIXELS_TOGETHER: usize = 1 << 30;

/// The greedy rule on one volume by some similarity of pixels, which it knows.
pub trait VolumeRule: Send + Sync + std::fmt::Debug {
    /// What covers each slice at ascending thresholds, and which slices cannot be compared.
    fn exemplars(
        &self,
        slices: &[Candidate<'_>],
        thresholds: &[f64],
        reach: Reach<'_>,
        watch: &Watch,
    ) -> Result<PixelSelection, SelectError>;
}

/// The rule by a measure.
#[derive(Debug)]
pub struct Similarity<M> {
    /// The measure.
    pub measure: M,
    /// Similarity of a slice with itself.
    pub own: f32,
}

impl<M: Measure + Send + std::fmt::Debug> VolumeRule for Similarity<M> {
    fn exemplars(
        &self,
        slices: &[Candidate<'_>],
        thresholds: &[f64],
        reach: Reach<'_>,
        watch: &Watch,
    ) -> Result<PixelSelection, SelectError> {
        exemplars(&self.measure, slices, thresholds, self.own, reach, watch)
    }
}

/// Ascending thresholds, at least one.
#[derive(Clone, Debug)]
pub struct Thresholds(Vec<f64>);

impl Thresholds {
    /// Checks them.
    pub fn new(thresholds: Vec<f64>) -> Result<Self, OptionError> {
        let finite = thresholds.iter().all(|threshold| threshold.is_finite());
        let counts = 1..=usize::from(u16::MAX);
        if !finite || !thresholds.is_sorted() || !counts.contains(&thresholds.len()) {
            let expected = "ascending thresholds, at least one and at most 65535";
            let found = format!("{} of them", thresholds.len());
            return Err(OptionError::new("thresholds", expected, found));
        }
        Ok(Self(thresholds))
    }
}

/// One selection by pixels, at a threshold or at the one that keeps nearest to a fraction.
#[derive(Debug)]
pub(super) struct ByPixels {
    pub rule: Box<dyn VolumeRule>,
    pub thresholds: Thresholds,
    pub share: Share,
}

impl Method for ByPixels {
    fn select(&self, slices: Slices<'_>, watch: &Watch) -> Result<Choice, SelectError> {
        let mut sweep = PixelSweep::new(&*self.rule, self.thresholds.clone());
        let volumes = slices.groups.windows(2).map(|group| group[0]..group[1]);
        let files = volumes.map(|group| {
            (
                group.clone().map(slices.file_of).collect(),
                slices.reach.of(group),
            )
        });
        sweep.add_within(files, slices.reading, watch)?;
        let index = match self.share.fraction(sweep.len()) {
            None => 0,
            Some(fraction) => {
                // From the strictest on, to which ties go.
                let kept = sweep.kept();
                let wanted = fraction * sweep.len() as f64;
                let from_last = nearest_kept(kept.iter().rev().copied(), wanted);
                kept.len() - 1 - from_last.unwrap_or(0)
            }
        };
        let covers = sweep.covers_at(index);
        let (exemplar, similarity) = covers.map(|cover| (cover.exemplar, cover.similarity)).unzip();
        Ok(Choice {
            exemplar,
            measured: Measured::Similarities(similarity),
            threshold: Some(self.thresholds.0[index]),
            comparisons: Some(Comparisons {
                pairs: sweep.pairs,
                bounded: sweep.bounded_pairs,
                left_out: sweep.left_out,
            }),
        })
    }
}

/// Selections at ascending thresholds, growing by volumes.
#[derive(Debug)]
pub struct PixelSweep<R> {
    rule: R,
    thresholds: Vec<f64>,
    covers: Vec<PixelCover>,
    /// Where the covers of each slice start, and one past the end.
    starts: Vec<usize>,
    /// Pairs that the rule asked for.
    pairs: usize,
    /// Pairs among them for which a bound was enough.
    bounded_pairs: usize,
    left_out: Vec<(String, usize)>,
}

/// What became of a volume, and why slices of it were not compared.
type Selected = Result<(PixelSelection, Vec<String>), SelectError>;

impl<R: Deref<Target = dyn VolumeRule> + Sync> PixelSweep<R> {
    /// Nothing yet.
    pub fn new(rule: R, thresholds: Thresholds) -> Self {
        Self {
            rule,
            thresholds: thresholds.0,
            covers: Vec::new(),
            starts: vec![0],
            pairs: 0,
            bounded_pairs: 0,
            left_out: Vec::new(),
        }
    }

    /// Reads these volumes, many small ones or one large one at a time, selects from each, and lets its pixels go.
    ///
    /// When it was stopped, what it holds is not to be used.
    pub fn add(
        &mut self,
        volumes: impl Iterator<Item = Vec<SliceFile>>,
        reading: &Reading<'_>,
        watch: &Watch,
    ) -> Result<(), SelectError> {
        self.add_within(volumes.map(|volume| (volume, Reach::ANY)), reading, watch)
    }

    /// The same, where exemplars must lie in reach of their slices.
    pub fn add_within<'a>(
        &mut self,
        volumes: impl Iterator<Item = (Vec<SliceFile>, Reach<'a>)>,
        reading: &Reading<'_>,
        watch: &Watch,
    ) -> Result<(), SelectError> {
        let mut volumes = volumes.peekable();
        while let Some((first, reach)) = volumes.next() {
            let size = |volume: &[SliceFile]| volume.iter().map(|slice| slice.pixels).sum::<usize>();
            let mut pixels = size(&first);
            let is_packed = first.first().is_some_and(|slice| is_packed(&slice.location));
            let most = if is_packed {
                PACKED_PIXELS_TOGETHER
            } else {
                PIXELS_TOGETHER
            };
            let (mut together, mut reaches) = (vec![first], vec![reach]);
            while let Some((volume, reach)) =
                volumes.next_if(|(volume, _)| pixels.saturating_add(size(volume)) <= most)
            {
                pixels += size(&volume);
                together.push(volume);
                reaches.push(reach);
            }
            let volumes = sources(together, reading.decode)?;
            let volumes = volumes.into_iter().zip(reaches).collect();
            self.add_together(volumes, is_packed, reading, watch)?;
        }
        Ok(())
    }

    fn add_together(
        &mut self,
        volumes: Vec<(Vec<Source>, Reach<'_>)>,
        is_packed: bool,
        reading: &Reading<'_>,
        watch: &Watch,
    ) -> Result<(), SelectError> {
        let selected: Vec<Selected> = if is_packed {
            let (volumes, reaches): (Vec<_>, Vec<_>) = volumes.into_iter().unzip();
            let volumes = read_at_once(volumes, reading, watch);
            let select = |(volume, reach): (&Vec<GrayResult>, Reach<'_>)| self.select(volume, reach, watch);
            let volumes = volumes.par_iter().zip(reaches);
            volumes.with_max_len(1).map(select).collect()
        } else {
            let select = |(volume, reach): (Vec<Source>, Reach<'_>)| {
                self.select(&read(volume, reading, watch), reach, watch)
            };
            volumes.into_par_iter().with_max_len(1).map(select).collect()
        };
        let selected = selected.into_iter().collect::<Result<Vec<_>, _>>()?;
        for (selection, reasons) in selected {
            let first = (self.starts.len() - 1) as u32;
            self.pairs += selection.pairs;
            self.bounded_pairs += selection.bounded_pairs;
            for mut covers in selection.covers {
                covers.iter_mut().for_each(|cover| cover.exemplar += first);
                self.covers.append(&mut covers);
                self.starts.push(self.covers.len());
            }
            for reason in reasons {
                self.leave_out(reason);
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, reason: String) {
        match self.left_out.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.left_out.push((reason, 1)),
        }
    }

    fn select(&self, slices: &[GrayResult], reach: Reach<'_>, watch: &Watch) -> Selected {
        let candidates: Vec<_> = slices
            .iter()
            .map(|slice| slice.as_ref().ok().map(GraySlice::picture))
            .collect();
        let selection = self.rule.exemplars(&candidates, &self.thresholds, reach, watch)?;
        let unread = slices
            .iter()
            .filter_map(|slice| slice.as_ref().err().map(PixelError::to_string));
        let refused = selection.refused.iter().map(|(_, error)| error.to_string());
        let reasons = unread.chain(refused).collect();
        Ok((selection, reasons))
    }

    /// Pairs that the rule asked for, and those among them for which a bound was enough.
    pub fn pairs(&self) -> (usize, usize) {
        (self.pairs, self.bounded_pairs)
    }

    /// Number of slices so far.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no slice.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slices that could not be compared, so are kept, counted by reason.
    pub fn left_out(&self) -> &[(String, usize)] {
        &self.left_out
    }

    /// Number of thresholds.
    pub fn thresholds(&self) -> usize {
        self.thresholds.len()
    }

    /// What covers each slice at a threshold.
    pub fn covers_at(&self, threshold: usize) -> impl Iterator<Item = PixelCover> {
        self.starts
            .windows(2)
            .map(move |part| cover_at(&self.covers[part[0]..part[1]], threshold))
    }

    /// Number of slices kept at each threshold.
    pub fn kept(&self) -> Vec<usize> {
        (0..self.thresholds.len())
            .map(|index| {
                let numbered = (0u32..).zip(self.covers_at(index));
                numbered.filter(|(slice, cover)| *slice == cover.exemplar).count()
            })
            .collect()
    }
}
