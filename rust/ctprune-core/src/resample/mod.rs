//! Lanczos resampling of 8-bit gray, equal to Pillow's `Image.resize(size, LANCZOS)` to the bit.
//!
//! Pillow resamples along one axis, rounds the result to 8 bits, then resamples along the other. Here
//! both are one and the same pass, which resamples rows and writes its result transposed: the second pass
//! finds the columns as rows and turns the picture back. Pillow leaves out a pass whose length does not
//! change; its coefficients would be those of the identity, so this makes no difference.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod blocked;
mod float;
mod lanczos;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod scalar;
mod split;
#[cfg(test)]
mod tests;

use blocked::ChunkBlock;
use ctprune_cpu::Cpu;
use split::SplitWindow;
use std::ops::Range;

pub use float::FloatPlan;

/// Which axis is resampled first; the rounding in between makes it show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PassOrder {
    /// Rows first, whatever the shape: Pillow up to 12.
    #[default]
    HorizontalFirst,
    /// Columns first where the height shrinks, by more than twice as many pixels as the width: Pillow 13.
    /// Of pictures reduced to a fingerprint these are the ones more than about twice as tall as wide.
    ByShape,
}

impl PassOrder {
    fn is_vertical_first(self, rows: usize, columns: usize, out_rows: usize, out_columns: usize) -> bool {
        let shrinks = rows > out_rows && rows - out_rows > 2 * columns.saturating_sub(out_columns);
        self == Self::ByShape && shrinks
    }
}

/// What happens to one axis of a picture.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Its length, at least 1.
    pub length: usize,
    /// Its length after resampling, at least 1.
    pub out_length: usize,
    /// The part of the result that is computed.
    pub wanted: Range<usize>,
}

impl Axis {
    /// All of the result.
    fn full(length: usize, out_length: usize) -> Self {
        Self {
            length,
            out_length,
            wanted: 0..out_length,
        }
    }
}

/// How to resample pictures of one size to another.
#[derive(Debug)]
pub struct Plan {
    rows: usize,
    columns: usize,
    horizontal: Vec<SplitWindow>,
    vertical: Vec<SplitWindow>,
    vertical_first: bool,
}

/// Memory that passes use, kept from picture to picture.
#[derive(Debug, Default)]
pub struct Scratch {
    between: Vec<u8>,
    turned: Vec<u8>,
    wide: Vec<ChunkBlock>,
}

impl Plan {
    /// Prepares for pictures of `rows × columns` that become `out_rows × out_columns`; none may be 0.
    pub fn new(rows: usize, columns: usize, out_rows: usize, out_columns: usize, order: PassOrder) -> Self {
        let full = [Axis::full(rows, out_rows), Axis::full(columns, out_columns)];
        Self::cropped(full, order)
    }

    /// Prepares for the wanted part of the result of [`Plan::new`]; axes are rows, columns.
    pub fn cropped([rows, columns]: [Axis; 2], order: PassOrder) -> Self {
        let split = |axis: &Axis| {
            let windows = lanczos::windows(axis.length, axis.out_length, axis.wanted.clone());
            windows.iter().map(SplitWindow::new).collect()
        };
        Self {
            rows: rows.length,
            columns: columns.length,
            horizontal: split(&columns),
            vertical: split(&rows),
            vertical_first: order.is_vertical_first(
                rows.length,
                columns.length,
                rows.out_length,
                columns.out_length,
            ),
        }
    }

    /// Resamples `gray`, row-major, into `out`.
    pub fn run(&self, gray: &[u8], scratch: &mut Scratch, out: &mut [u8]) {
        self.run_on(Cpu::detect(), gray, scratch, out);
    }

    fn run_on(&self, cpu: Cpu, gray: &[u8], scratch: &mut Scratch, out: &mut [u8]) {
        let Scratch {
            between,
            turned,
            wide,
        } = scratch;
        let (out_columns, out_rows) = (self.horizontal.len(), self.vertical.len());
        if self.vertical_first {
            // Rare, so it may cost: the same passes on the picture turned.
            turned.resize(gray.len().max(out.len()), 0);
            between.resize(out_rows * self.columns, 0);
            transpose(gray, self.columns, &mut turned[..gray.len()]);
            pass(
                cpu,
                &self.vertical,
                &turned[..gray.len()],
                self.columns,
                wide,
                between,
            );
            pass(
                cpu,
                &self.horizontal,
                between,
                out_rows,
                wide,
                &mut turned[..out.len()],
            );
            transpose(&turned[..out.len()], out_rows, out);
        } else {
            between.resize(out_columns * self.rows, 0);
            pass(cpu, &self.horizontal, gray, self.rows, wide, between);
            pass(cpu, &self.vertical, between, out_columns, wide, out);
        }
    }
}

/// Resamples each of `rows` rows and writes the result transposed, `windows.len() × rows`.
fn pass(
    cpu: Cpu,
    windows: &[SplitWindow],
    input: &[u8],
    rows: usize,
    wide: &mut Vec<ChunkBlock>,
    output: &mut [u8],
) {
    match cpu {
        Cpu::Baseline => portable::pass(windows, input, rows, wide, output),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: these values exist only where AVX2 was detected.
        Cpu::Avx2 | Cpu::Avx512 => unsafe { avx2::pass(windows, input, rows, wide, output) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: this value exists only where NEON was detected.
        Cpu::Neon => unsafe { neon::pass(windows, input, rows, wide, output) },
    }
}

fn transpose(input: &[u8], columns: usize, output: &mut [u8]) {
    let rows = input.len() / columns;
    for (row, pixels) in input.chunks_exact(columns).enumerate() {
        for (column, &pixel) in pixels.iter().enumerate() {
            output[column * rows + row] = pixel;
        }
    }
}
