//! The uniform window: 7 × 7 pixels, sample covariance.
//!
//! Sums over a window are integers and exact. With `n = 49` pixels, `s` the sum of one slice and `p` that of the products,
//! the means are `s / n` and the sample covariance is `(n p − s s') / (n (n − 1))`; both fractions of SSIM are extended so
//! that nothing but their constants is rounded before the one division.

use super::bound::BLOCK;
use super::{C1, C2};
use crate::cpu::{Cpu, by_cpu};
use crate::similarity::Picture;
use std::ops::Range;

/// Rows and columns of a window.
pub(super) const SIDE: usize = 7;

const PIXELS: f32 = (SIDE * SIDE) as f32;
/// `n²`, by which products of means are extended, and `n (n − 1)`, by which covariances are.
const OF_MEANS: f32 = PIXELS * PIXELS;
const OF_COVARIANCES: f32 = PIXELS * (PIXELS - 1.0);

/// Values that are added in single precision before they go into the sum: 16 in each of 8 lanes.
const CHUNK: usize = 128;
const LANES: usize = 8;

/// A slice's pixels, and sum and extended variance of each window.
#[derive(Debug)]
pub(super) struct Maps {
    columns: usize,
    pixels: Vec<u8>,
    /// At most 49 × 255.
    sums: Vec<u16>,
    variances: Vec<f32>,
}

impl Maps {
    pub fn new(cpu: Cpu, picture: Picture<'_>) -> Self {
        let columns = picture.columns;
        let (rows, width) = (picture.rows - SIDE + 1, columns - SIDE + 1);
        let mut maps = Self {
            columns,
            pixels: picture.pixels.to_vec(),
            sums: vec![0; rows * width],
            variances: vec![0.0; rows * width],
        };
        let ones = vec![1; columns];
        let (mut plain, mut squared) = (vec![0; columns], vec![0; columns]);
        let lines: Vec<&[u8]> = picture.pixels.chunks_exact(columns).collect();
        for (row, line) in lines.iter().enumerate() {
            add_products(cpu, &mut plain, line, &ones);
            add_products(cpu, &mut squared, line, line);
            if row + 1 < SIDE {
                continue;
            }
            let first = row + 1 - SIDE;
            let part = first * width..(first + 1) * width;
            finish_row(
                cpu,
                &plain,
                &squared,
                &mut maps.sums[part.clone()],
                &mut maps.variances[part],
            );
            subtract_products(cpu, &mut plain, lines[first], &ones);
            subtract_products(cpu, &mut squared, lines[first], lines[first]);
        }
        maps
    }

    /// Mean and sample variance of a window.
    pub fn statistics(&self, row: usize, column: usize) -> (f32, f32) {
        let at = row * (self.columns - SIDE + 1) + column;
        (
            f32::from(self.sums[at]) / PIXELS,
            self.variances[at] / OF_COVARIANCES,
        )
    }

    fn line(&self, row: usize) -> &[u8] {
        &self.pixels[row * self.columns..][..self.columns]
    }
}

/// Adds up SSIM over rows of windows; `each` takes a block's number and sum and says whether to go on. Returns whether
/// all was added.
pub(super) fn sums(
    cpu: Cpu,
    a: &Maps,
    b: &Maps,
    rows: Range<usize>,
    width: usize,
    each: &mut dyn FnMut(usize, f64) -> bool,
) -> bool {
    if rows.is_empty() {
        return true;
    }
    let mut products = vec![0; a.columns];
    let mut similarities = vec![0.0; width.next_multiple_of(LANES)];
    for row in rows.start..rows.start + SIDE - 1 {
        add_products(cpu, &mut products, a.line(row), b.line(row));
    }
    let mut sum = 0.0;
    for row in rows.clone() {
        let last = row + SIDE - 1;
        add_products(cpu, &mut products, a.line(last), b.line(last));
        let part = row * width..(row + 1) * width;
        let (x, y) = (
            Windows {
                sums: &a.sums[part.clone()],
                variances: &a.variances[part.clone()],
            },
            Windows {
                sums: &b.sums[part.clone()],
                variances: &b.variances[part],
            },
        );
        sum += row_sum(cpu, &products, x, y, &mut similarities);
        subtract_products(cpu, &mut products, a.line(row), b.line(row));
        if (row + 1).is_multiple_of(BLOCK) || row + 1 == rows.end {
            if !each(row / BLOCK, sum) {
                return false;
            }
            sum = 0.0;
        }
    }
    true
}

/// A row of windows of one slice.
#[derive(Clone, Copy)]
struct Windows<'a> {
    sums: &'a [u16],
    variances: &'a [f32],
}

by_cpu! {
    fn add_products[](columns: &mut [i32], a: &[u8], b: &[u8]) {
        for ((column, &a), &b) in columns.iter_mut().zip(a).zip(b) {
            *column += i32::from(u16::from(a) * u16::from(b));
        }
    }
}

by_cpu! {
    fn subtract_products[](columns: &mut [i32], a: &[u8], b: &[u8]) {
        for ((column, &a), &b) in columns.iter_mut().zip(a).zip(b) {
            *column -= i32::from(u16::from(a) * u16::from(b));
        }
    }
}

by_cpu! {
    fn finish_row[](plain: &[i32], squared: &[i32], sums: &mut [u16], variances: &mut [f32]) {
        for at in 0..sums.len() {
            let (sum, squares) = (across(plain, at), across(squared, at));
            sums[at] = sum as u16;
            variances[at] = (49 * squares - sum * sum) as f32;
        }
    }
}

by_cpu! {
    fn row_sum[](products: &[i32], x: Windows<'_>, y: Windows<'_>, out: &mut [f32]) -> f64 {
        let (c1, c2) = (C1 as f32 * OF_MEANS, C2 as f32 * OF_COVARIANCES);
        let width = x.sums.len();
        let (xs, ys, xv, yv) = (&x.sums[..width], &y.sums[..width], &x.variances[..width], &y.variances[..width]);
        let products = &products[..width + SIDE - 1];
        let row = &mut out[..width];
        for at in 0..width {
            let (a, b) = (i32::from(xs[at]), i32::from(ys[at]));
            let means = a * b;
            let covariance = 49 * across(products, at) - means;
            let above = ((2 * means) as f32 + c1) * ((2 * covariance) as f32 + c2);
            let below = ((a * a + b * b) as f32 + c1) * (xv[at] + yv[at] + c2);
            row[at] = above / below;
        }
        total(out)
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

/// The sum of values in an order that does not depend on the processor; their number is a multiple of the lanes.
#[inline(always)]
fn total(values: &[f32]) -> f64 {
    let mut total = [0.0f64; LANES];
    for chunk in values.chunks(CHUNK) {
        let mut lanes = [0.0f32; LANES];
        for values in chunk.chunks_exact(LANES) {
            for lane in 0..LANES {
                lanes[lane] += values[lane];
            }
        }
        for lane in 0..LANES {
            total[lane] += f64::from(lanes[lane]);
        }
    }
    total.iter().sum()
}
