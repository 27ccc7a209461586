//! Reduction methods: which slices stand for the others. One file per method.
//!
//! A method sees fingerprints in order and where each group (volume, or the whole archive) starts. To add
//! one: a file with a type that implements [`Method`], and its line in [`Request::method`].

mod all;
mod every_n;
mod hash;
mod random;

use ctprune_core::hamming::Fingerprints;
use ctprune_core::select::{SelectError, Selection};
use std::ops::ControlFlow;

/// The slices to choose from.
#[derive(Clone, Copy)]
pub struct Slices<'a> {
    /// Their fingerprints, in order.
    pub fingerprints: Fingerprints<'a>,
    /// Where each group starts, and one past the end: slices are compared within their group.
    pub groups: &'a [usize],
}

/// What a method chose.
#[derive(Debug)]
pub struct Choice {
    /// Exemplars and distances.
    pub selection: Selection,
    /// The threshold that was used, for methods that have one.
    pub threshold: Option<u32>,
}

/// Called between blocks of work with the number of slices done; may ask to stop.
pub type Tick<'a> = dyn FnMut(usize) -> ControlFlow<()> + Send + 'a;

/// A way to choose slices.
pub trait Method: Send + Sync {
    /// Choose among these slices.
    fn select(&self, slices: Slices<'_>, tick: &mut Tick<'_>) -> Result<Choice, SelectError>;
}

/// Everything that any method may be told.
#[derive(Clone, Debug)]
pub struct Request {
    /// `hash`, `all`, `every-n` or `random`.
    pub method: String,
    /// Largest Hamming distance of near-duplicates.
    pub threshold: u32,
    /// Fraction of slices to keep, instead of a threshold.
    pub keep: Option<f64>,
    /// Keep every n-th slice.
    pub n: usize,
    /// Seed of the sample.
    pub seed: u64,
}

impl Request {
    /// The method that was asked for.
    pub fn method(&self) -> Result<Box<dyn Method>, String> {
        match self.method.as_str() {
            "all" => Ok(Box::new(all::All)),
            "every-n" => Ok(Box::new(every_n::EveryN { n: self.n })),
            "hash" => Ok(Box::new(hash::Hash {
                threshold: self.threshold,
                keep: self.keep,
            })),
            "random" => Ok(Box::new(random::Random {
                keep: self.keep,
                like: hash::Hash {
                    threshold: self.threshold,
                    keep: None,
                },
                seed: self.seed,
            })),
            other => Err(format!(
                "unknown method {other:?}: expected hash, all, every-n or random"
            )),
        }
    }
}
