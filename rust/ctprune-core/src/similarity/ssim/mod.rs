//! Mean structural similarity (Wang et al. 2004), K1 = 0.01, K2 = 0.03, L = 255, over all windows that lie within the
//! slice: what `skimage.metrics.structural_similarity(a, b, data_range=255)` returns.
//!
//! Means and variances of the windows are computed once per slice; of a pair only the cross term is missing. Rows of
//! windows are added up block by block; the rows that are still open are bounded ([`bound`]), and once the threshold is
//! out of reach the rest is not computed.

mod bound;
mod gaussian;
mod uniform;

use super::{Measure, Picture, PictureError, Verdict};
use crate::option::OptionError;
use bound::{BLOCK, Coarse};
use ctprune_cpu::Cpu;
use std::ops::Range;

/// `(K1 L)²`.
const C1: f64 = 6.5025;
/// `(K2 L)²`.
const C2: f64 = 58.5225;

/// More than what rounding can change a bound or a similarity by.
const SLACK: f64 = 1e-5;

/// What weighs the pixels of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 7 × 7 pixels alike, sample covariance: scikit-image's default.
    Uniform,
    /// A Gaussian of σ = 1.5 on 11 × 11 pixels, population covariance: as in the original paper.
    Gaussian,
}

impl Window {
    /// The window of this name: `uniform` or `gaussian`.
    pub fn parse(name: &str) -> Result<Self, OptionError> {
        match name {
            "uniform" => Ok(Self::Uniform),
            "gaussian" => Ok(Self::Gaussian),
            other => Err(OptionError::new("window", "uniform or gaussian", other)),
        }
    }

    /// Rows and columns of a window.
    pub fn side(self) -> usize {
        match self {
            Self::Uniform => uniform::SIDE,
            Self::Gaussian => gaussian::SIDE,
        }
    }
}

/// Structural similarity with one kind of window.
#[derive(Clone, Copy, Debug)]
pub struct Ssim {
    window: Window,
    cpu: Cpu,
}

impl Ssim {
    /// With this window.
    pub fn new(window: Window) -> Self {
        Self {
            window,
            cpu: Cpu::detect(),
        }
    }

    #[cfg(test)]
    pub(super) fn on(window: Window, cpu: Cpu) -> Self {
        Self { window, cpu }
    }
}

/// A slice and the maps of its windows.
#[derive(Debug)]
pub struct SsimSlice<'a> {
    /// Rows and columns of windows.
    size: (usize, usize),
    maps: Maps<'a>,
    coarse: Coarse,
}

#[derive(Debug)]
enum Maps<'a> {
    Uniform(uniform::Maps<'a>),
    Gaussian(gaussian::Maps<'a>),
}

/// Rows of blocks that all slices go through before the next ones follow, so that their maps stay in the cache.
const BAND: usize = 4;

impl Measure for Ssim {
    type Prepared<'a> = SsimSlice<'a>;

    fn prepare<'a>(
        &self,
        picture: Picture<'a>,
        spare: Option<SsimSlice<'a>>,
    ) -> Result<SsimSlice<'a>, PictureError> {
        let (rows, columns, side) = (picture.rows, picture.columns, self.window.side());
        if rows < side || columns < side {
            return Err(PictureError::SmallerThanWindow { rows, columns, side });
        }
        let (maps, coarse) = match (self.window, spare.map(|slice| slice.maps)) {
            (Window::Uniform, spare) => {
                let spare = match spare {
                    Some(Maps::Uniform(maps)) => Some(maps),
                    _ => None,
                };
                let (maps, coarse) = uniform::Maps::new(self.cpu, picture, spare);
                (Maps::Uniform(maps), coarse)
            }
            (Window::Gaussian, spare) => {
                let spare = match spare {
                    Some(Maps::Gaussian(maps)) => Some(maps),
                    _ => None,
                };
                let (maps, coarse) = gaussian::Maps::new(self.cpu, picture, spare);
                (Maps::Gaussian(maps), coarse)
            }
        };
        let size = (rows - side + 1, columns - side + 1);
        Ok(SsimSlice { size, maps, coarse })
    }

    fn compare(&self, a: &SsimSlice<'_>, b: &SsimSlice<'_>, threshold: f64) -> Verdict {
        let windows = a.windows();
        let needed = (threshold - SLACK) * windows;
        let blocks = a.size.0.div_ceil(BLOCK);
        // First bounds of the sums over rows of blocks, which the sums themselves replace. Without a threshold nothing
        // needs a bound.
        let mut sums = if threshold == f64::NEG_INFINITY {
            vec![0.0; blocks]
        } else {
            a.coarse.bounds(self.cpu, &b.coarse)
        };
        let mut most: f64 = sums.iter().sum();
        if most < needed {
            return Verdict::AtMost(most / windows + SLACK);
        }
        let mut each = |block: usize, found: f64| {
            most += found - sums[block];
            sums[block] = found;
            most >= needed
        };
        // The body fills the middle: differences show sooner there than in the air above.
        let first = blocks / 4;
        if self.sums(a, b, first..blocks, &mut each) && self.sums(a, b, 0..first, &mut each) {
            return Verdict::Exact(sums.iter().sum::<f64>() / windows);
        }
        Verdict::AtMost(most / windows + SLACK)
    }

    fn similarities(&self, a: &[SsimSlice<'_>], b: &[SsimSlice<'_>]) -> Vec<f64> {
        let mut sums = vec![0.0; a.len() * b.len()];
        let Some(blocks) = a.first().map(|slice| slice.size.0.div_ceil(BLOCK)) else {
            return sums;
        };
        for start in (0..blocks).step_by(BAND) {
            for (column, other) in b.iter().enumerate() {
                for (row, slice) in a.iter().enumerate() {
                    let sum = &mut sums[row * b.len() + column];
                    self.sums(slice, other, start..blocks.min(start + BAND), &mut |_, found| {
                        *sum += found;
                        true
                    });
                }
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= a[0].windows());
        sums
    }
}

impl SsimSlice<'_> {
    /// Number of windows.
    fn windows(&self) -> f64 {
        (self.size.0 * self.size.1) as f64
    }
}

impl Ssim {
    /// Adds up SSIM over rows of blocks; `each` takes a block's number and sum and says whether to go on. Returns whether
    /// all was added.
    fn sums(
        &self,
        a: &SsimSlice<'_>,
        b: &SsimSlice<'_>,
        blocks: Range<usize>,
        each: &mut dyn FnMut(usize, f64) -> bool,
    ) -> bool {
        let rows = blocks.start * BLOCK..a.size.0.min(blocks.end * BLOCK);
        match (&a.maps, &b.maps) {
            (Maps::Uniform(a), Maps::Uniform(b)) => uniform::sums(self.cpu, a, b, rows, each),
            (Maps::Gaussian(a), Maps::Gaussian(b)) => gaussian::sums(self.cpu, a, b, rows, each),
            _ => unreachable!("one measure prepares all its slices alike"),
        }
    }
}
