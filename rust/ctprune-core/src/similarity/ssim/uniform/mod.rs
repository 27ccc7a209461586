//! The uniform window: 7 × 7 pixels, sample covariance.

mod layout;
mod products;
#[cfg(target_arch = "x86_64")]
mod registers;
mod row;
mod statistics;

pub(super) use layout::SIDE;

use super::bound::{BLOCK, Coarse, CoarseRows};
use crate::similarity::Picture;
use ctprune_cpu::{Cpu, by_cpu};
use layout::LANES;
use products::slide;
use row::{Windows, add_row};
use statistics::{Statistics, statistics};
use std::ops::Range;

/// A slice's pixels, and sum and extended variance of each window.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    columns: usize,
    pixels: &'a [u8],
    /// Length of a row of windows in what follows.
    stride: usize,
    /// As in [`Windows`], for all rows.
    sums: Vec<i16>,
    /// Infinite where a row is filled up, so that the similarity there is 0.
    variances: Vec<f32>,
}

impl<'a> Maps<'a> {
    /// Of a slice, with statistics of its blocks; in memory of another that is no longer needed, if there is one.
    pub fn new(cpu: Cpu, picture: Picture<'a>, spare: Option<Self>) -> (Self, Coarse) {
        let columns = picture.columns;
        let (rows, width) = (picture.rows - SIDE + 1, columns - SIDE + 1);
        let stride = width.next_multiple_of(LANES);
        let (sums, variances) = spare.map_or_else(Default::default, |maps| (maps.sums, maps.variances));
        let mut maps = Self {
            columns,
            pixels: picture.pixels,
            stride,
            sums,
            variances,
        };
        maps.sums.resize(rows * stride, 0);
        maps.variances.resize(rows * stride, 0.0);
        let mut coarse = CoarseRows::new(cpu, (rows, width));
        let nothing = vec![0; columns];
        let (mut plain, mut squared) = (vec![0; stride + LANES], vec![0; stride + LANES]);
        let (mut means, mut spreads) = (vec![0.0; stride], vec![0.0; stride]);
        for row in 0..picture.rows {
            let new = maps.row(row);
            let old = row.checked_sub(SIDE).map_or(&nothing[..], |row| maps.row(row));
            slide_sums(cpu, &mut plain, new, old);
            slide(cpu, &mut squared, [new; 2], [old; 2]);
            let Some(first) = (row + 1).checked_sub(SIDE) else {
                continue;
            };
            let part = first * stride..(first + 1) * stride;
            let (sums, variances) = (&mut maps.sums[part.clone()], &mut maps.variances[part]);
            let row = Statistics {
                sums,
                variances,
                means: &mut means,
                spreads: &mut spreads,
            };
            statistics(cpu, &plain, &squared, row);
            sums[width..].fill(0);
            variances[width..].fill(f32::INFINITY);
            coarse.add(&means[..width], &spreads[..width]);
        }
        (maps, coarse.finish())
    }

    fn row(&self, row: usize) -> &'a [u8] {
        &self.pixels[row * self.columns..][..self.columns]
    }

    fn windows(&self, row: usize) -> Windows<'_> {
        let part = row * self.stride..(row + 1) * self.stride;
        Windows {
            sums: &self.sums[part.clone()],
            variances: &self.variances[part],
        }
    }
}

/// Adds up SSIM over rows of windows; `each` takes a block's number and sum and says whether to go on. Returns whether
/// all was added.
pub(super) fn sums(
    cpu: Cpu,
    a: &Maps<'_>,
    b: &Maps<'_>,
    rows: Range<usize>,
    each: &mut dyn FnMut(usize, f64) -> bool,
) -> bool {
    if rows.is_empty() {
        return true;
    }
    let both = |row: usize| [a.row(row), b.row(row)];
    let nothing = vec![0; a.columns];
    let mut products = vec![0; a.stride + LANES];
    for row in rows.start..rows.start + SIDE - 1 {
        slide(cpu, &mut products, both(row), [&nothing; 2]);
    }
    let mut sum = [0.0; LANES];
    for row in rows.clone() {
        let old = if row == rows.start {
            [&nothing[..]; 2]
        } else {
            both(row - 1)
        };
        slide(cpu, &mut products, both(row + SIDE - 1), old);
        add_row(cpu, &products, a.windows(row), b.windows(row), &mut sum);
        if (row + 1).is_multiple_of(BLOCK) || row + 1 == rows.end {
            // Both factors above the fraction bar were halved.
            if !each(row / BLOCK, 4.0 * sum.iter().sum::<f64>()) {
                return false;
            }
            sum = [0.0; LANES];
        }
    }
    true
}

by_cpu! {
    /// Sums down the columns: a row comes in below, one leaves above.
    fn slide_sums[](columns: &mut [i16], new: &[u8], old: &[u8]) {
        for ((column, &new), &old) in columns.iter_mut().zip(new).zip(old) {
            *column += i16::from(new) - i16::from(old);
        }
    }
}
