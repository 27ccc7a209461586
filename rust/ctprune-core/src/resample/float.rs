//! The same resampling of floating-point pictures, for more than 8 bits: Pillow's for its mode `F`.
//!
//! Rows first; weights and sums in `f64`, the picture in between in `f32`, sums in the order of the pixels.

use super::Axis;
use super::lanczos::{FloatWindow, float_windows};
use ctprune_cpu::{Cpu, by_cpu};

/// How to resample floating-point pictures of one size to another.
#[derive(Debug)]
pub struct FloatPlan {
    columns: usize,
    horizontal: Vec<FloatWindow>,
    vertical: Vec<FloatWindow>,
}

/// Rows whose sums run side by side: one sum alone waits for its own additions.
const BLOCK: usize = 8;

impl FloatPlan {
    /// Prepares for the wanted part of the resampled picture; axes are rows, columns.
    pub fn cropped([rows, columns]: [Axis; 2]) -> Self {
        Self {
            columns: columns.length,
            horizontal: float_windows(columns.length, columns.out_length, columns.wanted),
            vertical: float_windows(rows.length, rows.out_length, rows.wanted),
        }
    }

    /// Resamples `picture`, row-major, into `out`; `between` is kept for its memory.
    pub fn run(&self, picture: &[f32], between: &mut Vec<f32>, out: &mut [f32]) {
        let rows = picture.len() / self.columns;
        between.resize(rows * self.horizontal.len(), 0.0);
        let cpu = Cpu::detect();
        horizontal_pass(cpu, &self.horizontal, picture, self.columns, between);
        vertical_pass(cpu, &self.vertical, between, self.horizontal.len(), out);
    }
}

by_cpu! {
    fn horizontal_pass[](windows: &[FloatWindow], input: &[f32], columns: usize, output: &mut [f32]) {
        let out_columns = windows.len();
        let blocks = output.chunks_mut(BLOCK * out_columns);
        let mut turned = vec![[0.0; BLOCK]; columns];
        for (rows, out) in input.chunks(BLOCK * columns).zip(blocks) {
            for (row, values) in rows.chunks_exact(columns).enumerate() {
                for (column, &value) in turned.iter_mut().zip(values) {
                    column[row] = value;
                }
            }
            for (x, window) in windows.iter().enumerate() {
                let mut sums = [0.0; BLOCK];
                for (&weight, values) in window.weights.iter().zip(&turned[window.start..]) {
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        *sum += f64::from(value) * weight;
                    }
                }
                for (row, &sum) in out.chunks_exact_mut(out_columns).zip(&sums) {
                    row[x] = sum as f32;
                }
            }
        }
    }
}

by_cpu! {
    fn vertical_pass[](windows: &[FloatWindow], input: &[f32], columns: usize, output: &mut [f32]) {
        let mut sums = vec![0.0; columns];
        for (window, out) in windows.iter().zip(output.chunks_exact_mut(columns)) {
            sums.fill(0.0);
            let rows = input.chunks_exact(columns).skip(window.start);
            for (&weight, row) in window.weights.iter().zip(rows) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += f64::from(value) * weight;
                }
            }
            for (out, &sum) in out.iter_mut().zip(&sums) {
                *out = sum as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pixel by the definition: the weighted sum over a row, then over a column.
    fn by_pixel(picture: &[f32], axes: &[Axis; 2]) -> Vec<f32> {
        let [rows, columns] = axes;
        let weighted = |window: &FloatWindow, values: &dyn Fn(usize) -> f32| {
            let taps = window.weights.iter().enumerate();
            taps.fold(0.0, |sum, (i, w)| sum + f64::from(values(window.start + i)) * w) as f32
        };
        let horizontal = float_windows(columns.length, columns.out_length, columns.wanted.clone());
        let vertical = float_windows(rows.length, rows.out_length, rows.wanted.clone());
        let mut out = Vec::new();
        for down in &vertical {
            for across in &horizontal {
                let row = |y: usize| weighted(across, &|x| picture[y * columns.length + x]);
                out.push(weighted(down, &row));
            }
        }
        out
    }

    #[test]
    fn blocks_equal_the_definition() {
        for (rows, columns) in [(1, 1), (9, 20), (40, 33), (7, 64)] {
            let picture: Vec<f32> = (0..rows * columns)
                .map(|i| ((i * 7919) % 4001) as f32 - 1024.0)
                .collect();
            let axis = |length, out_length, wanted| Axis {
                length,
                out_length,
                wanted,
            };
            let axes = [axis(rows, 16, 2..14), axis(columns, 11, 0..11)];
            let mut found = vec![0.0; 12 * 11];
            FloatPlan::cropped(axes.clone()).run(&picture, &mut Vec::new(), &mut found);
            assert_eq!(found, by_pixel(&picture, &axes), "{rows} × {columns}");
        }
    }
}
