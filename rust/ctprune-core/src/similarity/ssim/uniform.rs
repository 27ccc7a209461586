//! The uniform window: 7 × 7 pixels, sample covariance.
//!
//! Sums over a window are integers and exact. With `n = 49` pixels, `s` the sum of one slice and `p` that of the products,
//! the means are `s / n` and the sample covariance is `(n p − s s') / (n (n − 1))`; both fractions of SSIM are extended so
//! that nothing but their constants is rounded before the one division, and their factors of 2 are taken out.

use super::bound::{BLOCK, Coarse, CoarseRows};
use super::{C1, C2};
use crate::cpu::{Cpu, by_cpu, prefetch};
use crate::similarity::Picture;
use std::ops::Range;

/// Rows and columns of a window.
pub(super) const SIDE: usize = 7;

const PIXELS: f32 = (SIDE * SIDE) as f32;
/// `n²`, by which products of means are extended, and `n (n − 1)`, by which covariances are.
const OF_MEANS: f32 = PIXELS * PIXELS;
const OF_COVARIANCES: f32 = PIXELS * (PIXELS - 1.0);

/// Windows side by side: sums run in so many lanes, and rows of windows are filled up to a multiple of it.
const LANES: usize = 16;
/// Windows of a lane that are added in single precision before they go into the sum.
const TOGETHER: usize = 16;

/// How far ahead of their use windows are asked for: two rows of a slice of 512 × 512 pixels.
const AHEAD: usize = 1024;

/// A slice's pixels, and sum and extended variance of each window.
///
/// Where a row is filled up the variances are infinite, so that the similarity of such windows is 0.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    columns: usize,
    pixels: &'a [u8],
    /// Length of a row of windows in what follows.
    stride: usize,
    /// At most 49 × 255.
    sums: Vec<i16>,
    variances: Vec<f32>,
}

impl<'a> Maps<'a> {
    /// Of a slice, with statistics of its blocks; in memory of another that is not needed any more, if there is one.
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
        let (mut plain, mut squared) = (vec![0; columns], vec![0; columns]);
        let (mut means, mut spreads) = (vec![0.0; width], vec![0.0; width]);
        for row in 0..picture.rows {
            let new = line(picture.pixels, columns, row);
            let old = row
                .checked_sub(SIDE)
                .map_or(&nothing[..], |row| line(picture.pixels, columns, row));
            slide(cpu, &mut plain, new, old);
            slide_products(cpu, &mut squared, [new; 2], [old; 2]);
            let Some(first) = (row + 1).checked_sub(SIDE) else {
                continue;
            };
            let (sums, rest) = maps.sums[first * stride..][..stride].split_at_mut(width);
            rest.fill(0);
            let (variances, rest) = maps.variances[first * stride..][..stride].split_at_mut(width);
            rest.fill(f32::INFINITY);
            finish_row(cpu, &plain, &squared, sums, variances);
            statistics(cpu, sums, variances, &mut means, &mut spreads);
            coarse.add(&means, &spreads);
        }
        (maps, coarse.finish())
    }

    fn part(&self, row: usize) -> Windows<'_> {
        let part = row * self.stride..(row + 1) * self.stride;
        Windows {
            sums: &self.sums[part.clone()],
            variances: &self.variances[part],
        }
    }
}

fn line(pixels: &[u8], columns: usize, row: usize) -> &[u8] {
    &pixels[row * columns..][..columns]
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
    let lines = |row: usize| [line(a.pixels, a.columns, row), line(b.pixels, b.columns, row)];
    let nothing = vec![0; a.columns];
    let mut products = vec![0; a.stride + LANES];
    for row in rows.start..rows.start + SIDE - 1 {
        slide_products(cpu, &mut products, lines(row), [&nothing; 2]);
    }
    let mut sum = [0.0; LANES];
    for row in rows.clone() {
        let old = if row == rows.start {
            [&nothing[..]; 2]
        } else {
            lines(row - 1)
        };
        slide_products(cpu, &mut products, lines(row + SIDE - 1), old);
        add_row(cpu, &products, a.part(row), b.part(row), &mut sum);
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

/// A row of windows of one slice.
#[derive(Clone, Copy)]
struct Windows<'a> {
    sums: &'a [i16],
    variances: &'a [f32],
}

by_cpu! {
    /// Sums down the columns: a row comes in below, one leaves above.
    fn slide[](columns: &mut [i16], new: &[u8], old: &[u8]) {
        for ((column, &new), &old) in columns.iter_mut().zip(new).zip(old) {
            *column += i16::from(new) - i16::from(old);
        }
    }
}

by_cpu! {
    /// The same of products of two slices.
    fn slide_products[](columns: &mut [i32], new: [&[u8]; 2], old: [&[u8]; 2]) {
        let product = |a: u8, b: u8| i32::from(u16::from(a) * u16::from(b));
        let news = new[0].iter().zip(new[1]);
        let olds = old[0].iter().zip(old[1]);
        for ((column, (&a, &b)), (&c, &d)) in columns.iter_mut().zip(news).zip(olds) {
            *column += product(a, b) - product(c, d);
        }
    }
}

by_cpu! {
    fn finish_row[](plain: &[i16], squared: &[i32], sums: &mut [i16], variances: &mut [f32]) {
        let width = sums.len();
        let (plain, squared) = (&plain[..width + SIDE - 1], &squared[..width + SIDE - 1]);
        let variances = &mut variances[..width];
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = plain[at..at + SIDE].iter().sum();
        }
        for (at, (variance, &sum)) in variances.iter_mut().zip(&*sums).enumerate() {
            let sum = i32::from(sum);
            *variance = (49 * across(squared, at) - sum * sum) as f32;
        }
    }
}

by_cpu! {
    /// Means and sample variances.
    fn statistics[](sums: &[i16], variances: &[f32], means: &mut [f32], spreads: &mut [f32]) {
        for (((&sum, &variance), mean), spread) in sums.iter().zip(variances).zip(means).zip(spreads) {
            *mean = f32::from(sum) * (1.0 / PIXELS);
            *spread = variance * (1.0 / OF_COVARIANCES);
        }
    }
}

by_cpu! {
    /// Adds SSIM of a row of windows, in lanes, so that the order of sums does not depend on the processor.
    fn add_row[](products: &[i32], x: Windows<'_>, y: Windows<'_>, sum: &mut [f64; LANES]) {
        let (c1, c2) = (C1 as f32 * OF_MEANS, C2 as f32 * OF_COVARIANCES);
        let (xs, xv) = (x.sums.as_chunks::<LANES>().0, x.variances.as_chunks::<LANES>().0);
        let (ys, yv) = (y.sums.as_chunks::<LANES>().0, y.variances.as_chunks::<LANES>().0);
        let count = xs.len().min(ys.len()).min(xv.len()).min(yv.len());
        for start in (0..count).step_by(TOGETHER) {
            let mut lanes = [0.0; LANES];
            for at in start..count.min(start + TOGETHER) {
                prefetch(&xs[at], AHEAD);
                prefetch(&xv[at], AHEAD);
                prefetch(&ys[at], AHEAD);
                prefetch(&yv[at], AHEAD);
                let products = &products[LANES * at..][..LANES + SIDE - 1];
                for lane in 0..LANES {
                    let (a, b) = (i32::from(xs[at][lane]), i32::from(ys[at][lane]));
                    let covariance = 49 * across(products, lane) - a * b;
                    let (a, b) = (a as f32, b as f32);
                    let above = (a * b + 0.5 * c1) * (covariance as f32 + 0.5 * c2);
                    let below = (a * a + b * b + c1) * (xv[at][lane] + yv[at][lane] + c2);
                    lanes[lane] += above / below;
                }
            }
            for (sum, lane) in sum.iter_mut().zip(lanes) {
                *sum += f64::from(lane);
            }
        }
    }
}

/// The sum of 7 columns from `at` on.
#[inline(always)]
fn across(columns: &[i32], at: usize) -> i32 {
    let mut sum = 0;
    for offset in 0..SIDE {
        sum += columns[at + offset];
    }
    sum
}
