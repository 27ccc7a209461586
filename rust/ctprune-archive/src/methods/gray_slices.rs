//! Gray pixels of slices that are compared: where they are, who reads them.

use crate::discover::location::Location;
use crate::open::Fetch;
use crate::pixels::PixelError;
use crate::pixels::visit::{Job, visit_slices};
use ctprune_core::intensity::{GrayError, Intensity, to_gray};
use ctprune_core::pixels::SlicePixels;
use ctprune_core::selection::SelectError;
use ctprune_core::similarity::Picture;
use ctprune_core::watch::Watch;
use ctprune_dicom::slice::ReadOptions;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// 8-bit pixels of a slice, as they are fingerprinted.
#[derive(Clone, Debug)]
pub struct GraySlice {
    rows: usize,
    columns: usize,
    pixels: Vec<u8>,
}

impl GraySlice {
    /// From stored pixels.
    pub fn new(pixels: &SlicePixels<'_>, intensity: Intensity) -> Result<Self, GrayError> {
        let mut buffer = Vec::new();
        let gray = to_gray(pixels, intensity, &mut buffer)?;
        Ok(Self {
            rows: pixels.rows,
            columns: pixels.columns,
            pixels: gray.pixels.to_vec(),
        })
    }

    pub(super) fn picture(&self) -> Picture<'_> {
        Picture {
            rows: self.rows,
            columns: self.columns,
            pixels: &self.pixels,
        }
    }
}

/// Where the pixels of a slice are.
#[derive(Clone, Debug)]
pub struct SliceFile {
    /// Where its file is.
    pub location: Location,
    /// Its frame.
    pub frame: u32,
    /// Number of its pixels.
    pub pixels: usize,
    /// Whether only another reader (pydicom) can decode it.
    pub is_foreign: bool,
}

/// Decodes frames of the file at an address, ascending, that only another reader can; fewer when it cannot go on.
pub type Decode<'a> = dyn Fn(&Path, &[u32]) -> Result<Vec<GrayResult>, SelectError> + Sync + 'a;

/// A slice's gray pixels, or why there are none.
pub type GrayResult = Result<GraySlice, PixelError>;

/// How pixels are read.
pub struct Reading<'a> {
    /// Way from Hounsfield units to 8-bit gray.
    pub intensity: Intensity,
    /// Limits and wishes for the readers.
    pub options: &'a ReadOptions,
    /// Gives what is not on this machine.
    pub fetch: Option<&'a dyn Fetch>,
    /// The other reader.
    pub decode: &'a Decode<'a>,
}

/// A slice of a volume: where it is, or what another reader decoded.
pub(super) enum Source {
    File(Location, u32),
    Decoded(GrayResult),
}

/// Where each slice of these volumes comes from; decodes what only another reader can.
pub(super) fn sources(
    volumes: Vec<Vec<SliceFile>>,
    decode: &Decode<'_>,
) -> Result<Vec<Vec<Source>>, SelectError> {
    /// Frame, volume and slice within it.
    type Wanted = (u32, (usize, usize));
    let mut foreign: BTreeMap<&Location, Vec<Wanted>> = BTreeMap::new();
    for (volume, slices) in volumes.iter().enumerate() {
        for (slice, file) in slices.iter().enumerate().filter(|(_, file)| file.is_foreign) {
            let of_file = foreign.entry(&file.location).or_default();
            of_file.push((file.frame, (volume, slice)));
        }
    }
    let mut decoded: HashMap<(usize, usize), GrayResult> = HashMap::new();
    for (location, mut slices) in foreign {
        slices.sort_unstable();
        let (frames, slices): (Vec<u32>, Vec<(usize, usize)>) = slices.into_iter().unzip();
        // One that is missing gets its reason from our own reader.
        decoded.extend(slices.into_iter().zip(decode(&location.address(), &frames)?));
    }
    let numbered = volumes.into_iter().enumerate();
    let of_volume = |(volume, slices): (usize, Vec<SliceFile>)| {
        let slices = slices.into_iter().enumerate();
        let source = |(slice, file): (usize, SliceFile)| match decoded.remove(&(volume, slice)) {
            Some(gray) => Source::Decoded(gray),
            None => Source::File(file.location, file.frame),
        };
        slices.map(source).collect()
    };
    Ok(numbered.map(of_volume).collect())
}

/// The same as [`read`] for several volumes, so that a container that is read from its start is read once for all.
pub(super) fn read_at_once(
    volumes: Vec<Vec<Source>>,
    reading: &Reading<'_>,
    watch: &Watch,
) -> Vec<Vec<GrayResult>> {
    let lengths: Vec<usize> = volumes.iter().map(Vec::len).collect();
    let mut slices = read(volumes.into_iter().flatten().collect(), reading, watch).into_iter();
    let take = |length| slices.by_ref().take(length).collect();
    lengths.into_iter().map(take).collect()
}

/// Gray pixels of a volume's slices, or why there are none.
pub(super) fn read(volume: Vec<Source>, reading: &Reading<'_>, watch: &Watch) -> Vec<GrayResult> {
    let mut slices: Vec<GrayResult> = Vec::with_capacity(volume.len());
    let mut files = Vec::new();
    for (index, source) in volume.into_iter().enumerate() {
        match source {
            Source::Decoded(slice) => slices.push(slice),
            Source::File(location, frame) => {
                slices.push(Err(PixelError::Gone));
                files.push((index, location, frame));
            }
        }
    }
    let mut found: Vec<Option<GraySlice>> = vec![None; files.len()];
    let numbers: Vec<usize> = files.iter().map(|(index, ..)| *index).collect();
    let jobs = files
        .into_iter()
        .zip(&mut found)
        .map(|((_, location, frame), target)| Job {
            location,
            frame,
            target,
        })
        .collect();
    let act = |pixels: SlicePixels<'_>, target: &mut Option<GraySlice>| {
        *target = Some(GraySlice::new(&pixels, reading.intensity)?);
        Ok(())
    };
    let failures = visit_slices(watch, jobs, reading.options, reading.fetch, act);
    for ((index, slice), failure) in numbers.into_iter().zip(found).zip(failures) {
        slices[index] = match (slice, failure) {
            (Some(slice), None) => Ok(slice),
            (_, Some(error)) => Err(error),
            (None, None) => Err(PixelError::Gone),
        };
    }
    slices
}
