//! Pairs of volumes that show the same anatomy: copies, parts, the same scan with another kernel or thickness.
//!
//! A few slices of each volume are looked up among all slices, exactly, by Hamming distance. Volumes in which several of
//! them are found are laid upon each other along the body, which gives shift and direction, and are a pair if the slices
//! that then lie at the same position differ in few bits. [`naive`] lays every volume on every other at every shift.

mod align;
mod lookup;
pub mod naive;
mod pairs;
mod turn;

pub use lookup::nearest_within;
pub use pairs::find_pairs;
pub use turn::Turn;

use crate::option::OptionError;
use crate::selection::SelectError;
use crate::similarity::hamming::Fingerprints;

/// Volumes with fewer slices have no sequence that could be aligned, and are not compared.
pub const FEWEST_SLICES: usize = 3;

/// The slices of all volumes.
#[derive(Clone, Copy, Debug)]
pub struct Volumes<'a> {
    /// Fingerprints of all slices; one of zeros, as of a slice of one value, says nothing and is not compared.
    pub fingerprints: Fingerprints<'a>,
    /// First slice of each volume, and the number of slices.
    pub starts: &'a [usize],
    /// Where each slice lies along the body in mm, NaN where no one knows. A volume that has a slice without is aligned by
    /// the numbers of its slices.
    pub position_mm: &'a [f64],
}

/// What counts as a pair.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Largest median distance of aligned slices in bits.
    pub threshold: u32,
    /// Share of the shorter volume that must lie within the other, above 0 and up to 1.
    pub min_overlap: f64,
    /// The ways in which one picture may be turned to give the other.
    pub turns: Vec<Turn>,
    /// Rows of the fingerprints, for turning them.
    pub hash_size: usize,
    /// Pairs of a volume below this number and one from it on only; else all pairs.
    pub between: Option<usize>,
}

/// Two volumes that show the same anatomy: `a < b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The first volume.
    pub a: u32,
    /// The second volume.
    pub b: u32,
    /// How the pictures of one are turned against the other's.
    pub turn: Turn,
    /// How the slices lie upon each other.
    pub fit: Fit,
}

/// How the slices of two volumes lie upon each other: `position in b = scale × position in a + shift`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// 1, or −1 where the slices of one come in the opposite direction; with numbers of slices for positions also another
    /// ratio of the two.
    pub scale: f64,
    /// In mm, or slices of b.
    pub shift: f64,
    /// Whether both volumes have positions: all lengths are in mm, else in slices.
    pub is_in_mm: bool,
    /// Length of the common part.
    pub overlap: f64,
    /// Share of volume a in it.
    pub of_a: f64,
    /// Share of volume b in it.
    pub of_b: f64,
    /// Number of slices compared.
    pub compared: u32,
    /// Median distance of aligned slices in bits.
    pub median: f64,
    /// Mean distance of aligned slices in bits.
    pub mean: f64,
}

impl Fit {
    /// The same fit seen from the other volume.
    fn inverse(self) -> Self {
        Self {
            scale: 1.0 / self.scale,
            shift: -self.shift / self.scale,
            of_a: self.of_b,
            of_b: self.of_a,
            ..self
        }
    }

    /// Whether it is better than another: fewer bits apart, then more slices compared, then the smaller shift.
    fn beats(&self, other: &Self) -> bool {
        let order = self
            .mean
            .total_cmp(&other.mean)
            .then(other.compared.cmp(&self.compared))
            .then(self.shift.abs().total_cmp(&other.shift.abs()))
            .then(self.shift.total_cmp(&other.shift));
        order.is_lt()
    }
}

fn check(volumes: &Volumes<'_>, rule: &Rule) -> Result<(), SelectError> {
    let slices = volumes.fingerprints.len();
    crate::selection::check_count(slices)?;
    crate::selection::check_starts(volumes.starts, slices)?;
    let found = volumes.position_mm.len();
    if found != slices {
        return Err(SelectError::Positions {
            expected: slices,
            found,
        });
    }
    let bits = volumes.fingerprints.bits();
    if rule.threshold > bits {
        return Err(OptionError::new("threshold", format_args!("0 to {bits} bits"), rule.threshold).into());
    }
    if !(rule.min_overlap > 0.0 && rule.min_overlap <= 1.0) {
        let expected = "a fraction above 0 and up to 1";
        return Err(OptionError::new("min_overlap", expected, rule.min_overlap).into());
    }
    Ok(())
}
