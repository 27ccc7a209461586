//! Reduction methods: which slices stand for the others. One file per method, which also describes it.
//!
//! To add one: a file with a [`Description`], and its line in [`METHODS`]. A method by another fingerprint needs no file
//! here: its line is its description.

mod all;
mod balanced;
mod by_points;
mod deep;
mod description;
mod every_n;
mod facility;
pub mod gray_slices;
mod hash;
mod kcenter;
mod mi;
pub mod pixel_sweep;
mod random;
mod random_per_volume;
mod retrieval;
mod semdedup;
mod share;
mod ssim;

pub use by_points::ByPoints;
pub use description::{Default, Description, Measure, Role, Way};
pub use share::Share;

use ctprune_core::fingerprint::{AHASH, DHASH, Kind, PHASH};
use ctprune_core::option::OptionError;
use ctprune_core::selection::{Reach, SelectError, Selection};
use ctprune_core::similarity::hamming::Fingerprints;
use ctprune_core::watch::Watch;
use gray_slices::{Reading, SliceFile};
use pixel_sweep::{ByPixels, Thresholds, VolumeRule};

/// All methods, in the order in which they are listed.
pub static METHODS: [&Description; 15] = [
    &hash::HASH,
    &Description {
        drops: "Hamming distance of two average hashes ≤ threshold",
        citation: "average hashes of {bits} bits",
        source: "Krawetz 2011",
        ..hash::by("ahash", &AHASH)
    },
    &Description {
        drops: "Hamming distance of two perceptual hashes ≤ threshold",
        citation: "perceptual hashes of {bits} bits (Zauner 2010)",
        source: "Zauner 2010",
        ..hash::by("phash", &PHASH)
    },
    &ssim::SSIM,
    &mi::MI,
    &deep::DEEP,
    &semdedup::SEMDEDUP,
    &kcenter::KCENTER,
    &facility::FACILITY,
    &balanced::BALANCED,
    &retrieval::RETRIEVAL,
    &all::ALL,
    &every_n::EVERY_N,
    &random::RANDOM,
    &random_per_volume::RANDOM_PER_VOLUME,
];

/// The kind of fingerprint of this name: that of a method.
pub fn fingerprint_kind(name: &str) -> Result<&'static Kind, OptionError> {
    let kinds = || METHODS.iter().filter_map(|method| method.fingerprint);
    let found = kinds().find(|kind| kind.name == name);
    found.ok_or_else(|| not_one_of("fingerprint", kinds().map(|kind| kind.name), name))
}

/// The error for a name that is none of these.
fn not_one_of(option: &'static str, names: impl Iterator<Item = &'static str>, found: &str) -> OptionError {
    let names: Vec<&str> = names.collect();
    let expected = match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    };
    OptionError::new(option, expected, found)
}

/// The kind of fingerprint that methods are given which do with any.
pub static DEFAULT_FINGERPRINT: &Kind = &DHASH;

/// The slices to choose from.
#[derive(Clone, Copy)]
pub struct Slices<'a> {
    /// Their fingerprints, in order.
    pub fingerprints: Fingerprints<'a>,
    /// Where each group starts, and one past the end: slices are compared within their group.
    pub groups: &'a [usize],
    /// How far along the body from each its exemplar may lie.
    pub reach: Reach<'a>,
    /// Where the pixels of a slice are.
    pub file_of: &'a (dyn Fn(usize) -> SliceFile + Sync),
    /// How pixels are read.
    pub reading: &'a Reading<'a>,
}

/// What a method chose.
#[derive(Debug)]
pub struct Choice {
    /// For each slice the kept one that covers it, itself where it is kept, or
    /// [`NO_EXEMPLAR`](ctprune_core::selection::NO_EXEMPLAR).
    pub exemplar: Vec<u32>,
    /// How close each slice is to that one.
    pub measured: Measured,
    /// The threshold that was used, for methods that have one.
    pub threshold: Option<f64>,
    /// What is known of the comparisons, for methods that read pixels.
    pub comparisons: Option<Comparisons>,
}

/// How close slices are to their exemplars.
#[derive(Debug)]
pub enum Measured {
    /// Hamming distances, or [`NO_DISTANCE`](ctprune_core::selection::NO_DISTANCE).
    Distances(Vec<u16>),
    /// Similarities.
    Similarities(Vec<f32>),
}

/// Comparisons of pixels that a selection made.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparisons {
    /// Pairs that the rule asked for.
    pub pairs: usize,
    /// Pairs among them for which a bound was enough.
    pub bounded: usize,
    /// Slices that could not be compared, so are kept, counted by reason.
    pub left_out: Vec<(String, usize)>,
}

impl Choice {
    /// A choice by fingerprints.
    fn by_distance(selection: Selection, threshold: Option<u32>) -> Self {
        Self {
            exemplar: selection.exemplar,
            measured: Measured::Distances(selection.distance),
            threshold: threshold.map(f64::from),
            comparisons: None,
        }
    }
}

/// A way to choose slices.
pub trait Method: Send + Sync {
    /// Choose among these slices.
    fn select(&self, slices: Slices<'_>, watch: &Watch) -> Result<Choice, SelectError>;
}

/// Everything that any method may be told.
#[derive(Clone, Debug)]
pub struct Request {
    /// One of [`METHODS`].
    pub method: String,
    /// Largest distance or smallest similarity of near-duplicates.
    pub threshold: Option<f64>,
    /// How many slices to keep, instead of a threshold.
    pub share: Share,
    /// Keep every n-th slice.
    pub n: usize,
    /// Seed of the sample.
    pub seed: u64,
    /// Clusters of embeddings; by default the square root of the number of slices.
    pub clusters: Option<usize>,
    /// Window of SSIM.
    pub window: String,
    /// Largest distance along the body between a slice and its exemplar in mm.
    pub max_gap_mm: Option<f64>,
}

impl Request {
    /// The description of the method that was asked for.
    pub fn description(&self) -> Result<&'static Description, OptionError> {
        let found = METHODS.iter().find(|method| method.name == self.method);
        found.copied().ok_or_else(|| self.expected(|_| true))
    }

    /// The rule of the method that was asked for, one that compares pixels.
    pub fn volume_rule(&self) -> Result<Box<dyn VolumeRule>, OptionError> {
        match self.description()?.way {
            Way::Pixels(rule) => rule(self),
            _ => Err(self.expected(|method| matches!(method.way, Way::Pixels(_)))),
        }
    }

    /// The way of the method that was asked for, one that compares points.
    pub fn by_points(&self) -> Result<Box<dyn ByPoints>, OptionError> {
        match self.description()?.way {
            Way::Points(way) => Ok(way(self)),
            _ => Err(self.expected(|method| matches!(method.way, Way::Points(_)))),
        }
    }

    /// The error for a method that is none of these.
    fn expected(&self, these: fn(&Description) -> bool) -> OptionError {
        let methods = METHODS.iter().filter(|method| these(method));
        not_one_of("method", methods.map(|method| method.name), &self.method)
    }

    /// The method that was asked for.
    pub fn method(&self) -> Result<Box<dyn Method>, OptionError> {
        let description = self.description()?;
        match description.way {
            Way::Fingerprints(method) => Ok(method(self)),
            Way::Pixels(rule) => {
                let grid = || description.measure.as_ref().map(|measure| (measure.grid)());
                let thresholds = match self.threshold {
                    Some(threshold) => vec![threshold],
                    None => grid().unwrap_or_default(),
                };
                Ok(Box::new(ByPixels {
                    rule: rule(self)?,
                    thresholds: Thresholds::new(thresholds)?,
                    share: self.share,
                }))
            }
            Way::Points(way) => Ok(Box::new(by_points::OnFingerprints(way(self)))),
            Way::Embeddings | Way::Targets => {
                Err(self.expected(|method| !matches!(method.way, Way::Embeddings | Way::Targets)))
            }
        }
    }

    /// Clusters of so many embeddings.
    fn clusters_of(&self, embeddings: usize) -> usize {
        let root = (embeddings as f64).sqrt().ceil() as usize;
        self.clusters.unwrap_or(root).clamp(1, embeddings.max(1))
    }

    /// The largest distance of near-duplicates in bits.
    fn bits(&self) -> u32 {
        self.threshold.unwrap_or_default() as u32
    }
}
