//! What is to be known of a reduction method, each fact once: options, help, errors, sweep, report and the tables in
//! the documentation are made from it.

use super::by_points::ByPoints;
use super::pixel_sweep::VolumeRule;
use super::{Method, Request};
use ctprune_core::fingerprint::Kind;
use ctprune_core::option::OptionError;

/// A reduction method.
pub struct Description {
    /// As in `--method`.
    pub name: &'static str,
    /// When a slice is dropped, in a few words.
    pub drops: &'static str,
    /// The reduction in a paper's methods section: slices "were reduced by …"; `{bits}`, `{n}`, `{seed}`, `{features}`
    /// and `{clusters}` stand for the values of the run.
    pub citation: &'static str,
    /// Where the method comes from; empty for the controls.
    pub source: &'static str,
    /// The kind of fingerprint that the method compares; `None` when it does with any, or with none.
    pub fingerprint: Option<&'static Kind>,
    /// What its threshold is compared with.
    pub measure: Option<Measure>,
    /// The same on embeddings, where the method compares fingerprints or, with the option `features`, these.
    pub on_embeddings: Option<Measure>,
    /// What the measure is for.
    pub role: Role,
    /// The options of selection that it takes beside those that all methods take, with their defaults.
    pub options: &'static [(&'static str, Default)],
    /// How it is carried out.
    pub way: Way,
}

/// How two slices are compared.
pub struct Measure {
    /// The quantity, in the field's words.
    pub name: &'static str,
    /// Its unit; empty for a pure number.
    pub unit: &'static str,
    /// True for a similarity, false for a distance.
    pub larger_is_closer: bool,
    /// Smallest value.
    pub low: f64,
    /// Largest value; `None` stands for the bits of a fingerprint. Of a similarity that of a slice with itself.
    pub high: Option<f64>,
    /// A threshold, to show what one looks like.
    pub example: f64,
    /// The thresholds that are tried for a fraction to keep, ascending; none stand for every whole number.
    pub grid: fn() -> Vec<f64>,
    /// What the strictest threshold drops nevertheless.
    pub strictest_drops: &'static str,
}

/// What a measure is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Slices are dropped by it.
    Decides,
    /// It only stands in the manifest.
    Recorded,
    /// It only sets the number of slices.
    Sizes,
    /// There is none.
    None,
}

impl Role {
    /// Its name for Python.
    pub fn name(self) -> &'static str {
        match self {
            Role::Decides => "decides",
            Role::Recorded => "recorded",
            Role::Sizes => "sizes",
            Role::None => "",
        }
    }
}

/// What an option is when it is not given.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// Nothing.
    None,
    /// A number.
    Whole(u64),
    /// A word.
    Word(&'static str),
}

/// How a method is carried out.
pub enum Way {
    /// From fingerprints, or without looking at slices.
    Fingerprints(fn(&Request) -> Box<dyn Method>),
    /// From pixels, volume by volume, at many thresholds in one pass.
    Pixels(fn(&Request) -> Result<Box<dyn VolumeRule>, OptionError>),
    /// From fingerprints, or from embeddings that are handed over; the measure says which it is by default.
    Points(fn(&Request) -> Box<dyn ByPoints>),
    /// From embeddings, which need a network that Python runs; the choice is handed over.
    Embeddings,
    /// From fingerprints or embeddings and those of another run, which Python opens; the choice is handed over.
    Targets,
}

impl Description {
    /// What is compared: `fingerprints`, `pixels`, `embeddings`, or nothing.
    pub fn compares(&self) -> &'static str {
        match self.way {
            Way::Pixels(_) => "pixels",
            Way::Embeddings => "embeddings",
            Way::Points(_)
                if self
                    .measure
                    .as_ref()
                    .is_some_and(|measure| measure.high.is_some()) =>
            {
                "embeddings"
            }
            Way::Points(_) | Way::Targets => "fingerprints",
            Way::Fingerprints(_) if self.measure.is_some() => "fingerprints",
            Way::Fingerprints(_) => "",
        }
    }
}

/// Thresholds from `first` to `first + 1` in steps of 0.005.
pub(super) fn steps_from(first: u32) -> Vec<f64> {
    const STEPS: u32 = 200;
    (0..=STEPS)
        .map(|step| f64::from(first * STEPS + step) / f64::from(STEPS))
        .collect()
}
