//! Selection by the slices' own pixels: volumes are read, selected from at all thresholds, and let go.

use crate::frames::{Failure, Job, for_each_slice_until};
use ctprune_core::intensity::{Intensity, to_grey};
use ctprune_core::pixels::SlicePixels;
use ctprune_core::select::SelectError;
use ctprune_core::similarity::leader::{Cover, Covers, Watch, cover_at, leader};
use ctprune_core::similarity::mi::MutualInformation;
use ctprune_core::similarity::ssim::{Ssim, Window};
use ctprune_core::similarity::{Measure, Picture};
use ctprune_dicom::slice::ReadOptions;
use rayon::prelude::*;
use std::path::PathBuf;

/// 8-bit pixels of a slice, as they are fingerprinted.
#[derive(Clone, Debug)]
pub struct GreySlice {
    rows: usize,
    columns: usize,
    pixels: Vec<u8>,
}

impl GreySlice {
    /// From stored pixels.
    pub fn new(pixels: &SlicePixels<'_>, intensity: Intensity) -> Result<Self, String> {
        let mut buffer = Vec::new();
        let grey = to_grey(pixels, intensity, &mut buffer).map_err(|error| error.to_string())?;
        Ok(Self {
            rows: pixels.rows,
            columns: pixels.columns,
            pixels: grey.pixels.to_vec(),
        })
    }

    fn picture(&self) -> Picture<'_> {
        Picture {
            rows: self.rows,
            columns: self.columns,
            pixels: &self.pixels,
        }
    }
}

/// What slices are compared by.
#[derive(Clone, Copy, Debug)]
pub enum PixelMeasure {
    /// Structural similarity.
    Ssim(Window),
    /// Normalised mutual information.
    MutualInformation,
}

impl PixelMeasure {
    /// `ssim` with a window of this name, or `mi`.
    pub fn parse(method: &str, window: &str) -> Result<Self, String> {
        match method {
            "ssim" => Ok(Self::Ssim(Window::parse(window)?)),
            "mi" => Ok(Self::MutualInformation),
            other => Err(format!("unknown method {other:?}: expected ssim or mi")),
        }
    }
}

/// A slice of a volume: where it is, or what another reader decoded.
pub enum Source {
    /// File and frame.
    File(PathBuf, u32),
    /// Decoded already.
    Decoded(Result<GreySlice, String>),
}

/// Selections at ascending thresholds, growing by volumes.
#[derive(Debug)]
pub struct PixelSweep {
    measure: PixelMeasure,
    thresholds: Vec<f64>,
    covers: Vec<Cover>,
    /// Where the covers of each slice start, and one past the end.
    starts: Vec<usize>,
}

/// What became of a volume: its covers, and for each slice "" or why it was not compared.
type Selected = Result<(Covers, Vec<String>), SelectError>;

impl PixelSweep {
    /// Nothing yet.
    pub fn new(measure: PixelMeasure, thresholds: Vec<f64>) -> Result<Self, String> {
        let finite = thresholds.iter().all(|threshold| threshold.is_finite());
        let places = 1..=usize::from(u16::MAX);
        if !finite || !thresholds.is_sorted() || !places.contains(&thresholds.len()) {
            return Err("expected ascending thresholds, at least one and at most 65535".into());
        }
        Ok(Self {
            measure,
            thresholds,
            covers: Vec::new(),
            starts: vec![0],
        })
    }

    /// Reads these volumes and selects from each. For each slice "" or why it was not compared; then it is kept.
    ///
    /// When it was stopped nothing of them is added.
    pub fn add(
        &mut self,
        volumes: Vec<Vec<Source>>,
        intensity: Intensity,
        options: &ReadOptions,
        watch: &Watch,
    ) -> Result<Vec<String>, SelectError> {
        let select = |volume: Vec<Source>| {
            let slices = read(volume, intensity, options, watch);
            match self.measure {
                PixelMeasure::Ssim(window) => self.select(&Ssim::new(window), &slices, 1.0, watch),
                PixelMeasure::MutualInformation => self.select(&MutualInformation, &slices, 2.0, watch),
            }
        };
        let selected: Vec<Selected> = volumes.into_par_iter().with_max_len(1).map(select).collect();
        let selected = selected.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut reasons = Vec::new();
        for (covers, of_volume) in selected {
            let first = (self.starts.len() - 1) as u32;
            for mut covers in covers {
                covers.iter_mut().for_each(|cover| cover.exemplar += first);
                self.covers.append(&mut covers);
                self.starts.push(self.covers.len());
            }
            reasons.extend(of_volume);
        }
        Ok(reasons)
    }

    fn select<M: Measure>(
        &self,
        measure: &M,
        slices: &[Result<GreySlice, String>],
        own: f32,
        watch: &Watch,
    ) -> Selected {
        let candidates: Vec<_> = slices
            .iter()
            .map(|slice| slice.as_ref().ok().map(GreySlice::picture))
            .collect();
        let (covers, refused) = leader(measure, &candidates, &self.thresholds, own, watch)?;
        let mut reasons: Vec<String> = slices
            .iter()
            .map(|slice| slice.as_ref().err().cloned().unwrap_or_default())
            .collect();
        for (slice, reason) in refused {
            reasons[slice] = reason;
        }
        Ok((covers, reasons))
    }

    /// Number of slices so far.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no slice.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of thresholds.
    pub fn thresholds(&self) -> usize {
        self.thresholds.len()
    }

    /// What covers each slice at a threshold.
    pub fn covers_at(&self, threshold: usize) -> impl Iterator<Item = Cover> {
        self.starts
            .windows(2)
            .map(move |part| cover_at(&self.covers[part[0]..part[1]], threshold))
    }

    /// Number of slices kept at each threshold.
    pub fn kept(&self) -> Vec<usize> {
        (0..self.thresholds.len())
            .map(|place| {
                let numbered = (0u32..).zip(self.covers_at(place));
                numbered.filter(|(slice, cover)| *slice == cover.exemplar).count()
            })
            .collect()
    }
}

/// Grey pixels of a volume's slices, or why there are none.
fn read(
    volume: Vec<Source>,
    intensity: Intensity,
    options: &ReadOptions,
    watch: &Watch,
) -> Vec<Result<GreySlice, String>> {
    let mut slices: Vec<Result<GreySlice, String>> = Vec::with_capacity(volume.len());
    let mut places = Vec::new();
    for (place, source) in volume.into_iter().enumerate() {
        match source {
            Source::Decoded(slice) => slices.push(slice),
            Source::File(path, frame) => {
                slices.push(Err(String::new()));
                places.push((place, path, frame));
            }
        }
    }
    let mut found: Vec<Option<GreySlice>> = vec![None; places.len()];
    let numbers: Vec<usize> = places.iter().map(|(place, ..)| *place).collect();
    let jobs = places
        .into_iter()
        .zip(&mut found)
        .map(|((_, path, frame), target)| Job { path, frame, target })
        .collect();
    let act = |pixels: SlicePixels<'_>, target: &mut Option<GreySlice>| {
        *target = Some(GreySlice::new(&pixels, intensity).map_err(Failure::Slice)?);
        Ok(())
    };
    let failures = for_each_slice_until(&watch.stop, jobs, options, act);
    for ((place, slice), failure) in numbers.into_iter().zip(found).zip(failures) {
        slices[place] = match (slice, failure) {
            (Some(slice), None) => Ok(slice),
            (_, Some(Failure::Slice(reason) | Failure::Output(reason))) => Err(reason),
            (None, None) => Err("the slice is not in the file any more".into()),
        };
    }
    slices
}
