//! Mean structural similarity (Wang et al. 2004), K1 = 0.01, K2 = 0.03, L = 255, over all windows that lie within the
//! slice: what `skimage.metrics.structural_similarity(a, b, data_range=255)` returns.
//!
//! Means and variances of the windows are computed once per slice; of a pair only the cross term is missing. Rows of
//! windows are added up block by block; the rows that are still open are bounded ([`bound`]), and once the threshold is
//! out of reach the rest is not computed.

mod bound;
mod gaussian;
mod uniform;

use super::{Measure, Picture, Verdict};
use crate::cpu::Cpu;
use bound::{BLOCK, Coarse};

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
    /// `uniform` or `gaussian`.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "uniform" => Ok(Self::Uniform),
            "gaussian" => Ok(Self::Gaussian),
            other => Err(format!("unknown window {other:?}: expected uniform or gaussian")),
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
pub struct SsimSlice {
    /// Rows and columns of windows.
    size: (usize, usize),
    maps: Maps,
    coarse: Coarse,
}

#[derive(Debug)]
enum Maps {
    Uniform(uniform::Maps),
    Gaussian(gaussian::Maps),
}

impl Measure for Ssim {
    type Prepared = SsimSlice;

    fn prepare(&self, picture: Picture<'_>) -> Result<SsimSlice, String> {
        let (rows, columns, side) = (picture.rows, picture.columns, self.window.side());
        if rows < side || columns < side {
            return Err(format!(
                "the slice, {rows} × {columns} pixels, is smaller than the window of SSIM, {side} × {side}"
            ));
        }
        let size = (rows - side + 1, columns - side + 1);
        let (maps, coarse) = match self.window {
            Window::Uniform => {
                let maps = uniform::Maps::new(self.cpu, picture);
                let coarse = Coarse::new(size, |row, column| maps.statistics(row, column));
                (Maps::Uniform(maps), coarse)
            }
            Window::Gaussian => {
                let maps = gaussian::Maps::new(self.cpu, picture);
                let coarse = Coarse::new(size, |row, column| maps.statistics(row, column));
                (Maps::Gaussian(maps), coarse)
            }
        };
        Ok(SsimSlice { size, maps, coarse })
    }

    fn compare(&self, a: &SsimSlice, b: &SsimSlice, threshold: f64) -> Verdict {
        let (rows, columns) = a.size;
        let windows = (rows * columns) as f64;
        let needed = (threshold - SLACK) * windows;
        // Without a threshold nothing needs a bound.
        let above: Vec<f64> = if threshold == f64::NEG_INFINITY {
            vec![0.0; rows.div_ceil(BLOCK)]
        } else {
            a.coarse.bounds(self.cpu, &b.coarse)
        };
        let mut open: f64 = above.iter().sum();
        if open < needed {
            return Verdict::AtMost(open / windows + SLACK);
        }
        let mut sum = 0.0;
        let mut run = |blocks: std::ops::Range<usize>, sum: &mut f64| -> bool {
            let start = blocks.start * BLOCK;
            let mut each = |block: usize, found: f64| {
                *sum += found;
                open -= above[block];
                *sum + open >= needed
            };
            let end = rows.min(blocks.end * BLOCK);
            match (&a.maps, &b.maps) {
                (Maps::Uniform(a), Maps::Uniform(b)) => {
                    uniform::sums(self.cpu, a, b, start..end, columns, &mut each)
                }
                (Maps::Gaussian(a), Maps::Gaussian(b)) => {
                    gaussian::sums(self.cpu, a, b, start..end, columns, &mut each)
                }
                _ => unreachable!("one measure prepares all its slices alike"),
            }
        };
        // The body fills the middle: differences show sooner there than in the air above.
        let first = above.len() / 4;
        if run(first..above.len(), &mut sum) && run(0..first, &mut sum) {
            return Verdict::Exact(sum / windows);
        }
        Verdict::AtMost((sum + open) / windows + SLACK)
    }
}
