//! Lanczos resampling of 8-bit grey, equal to Pillow's `Image.resize(size, LANCZOS)` to the bit.
//!
//! Pillow resamples the rows first, rounds the result to 8 bits, then resamples the columns. Here both
//! are one and the same pass, which resamples rows and writes its result transposed: the second pass
//! finds the columns as rows and turns the picture back. Pillow leaves out a pass whose length does not
//! change; its coefficients would be those of the identity, so this makes no difference.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod blocked;
mod lanczos;
mod portable;
mod scalar;
mod split;

use crate::cpu::Cpu;
use blocked::ChunkBlock;
use split::SplitWindow;

/// How to resample pictures of one size to another.
#[derive(Debug)]
pub struct Plan {
    rows: usize,
    horizontal: Vec<SplitWindow>,
    vertical: Vec<SplitWindow>,
}

/// Memory that passes use, kept from picture to picture.
#[derive(Debug, Default)]
pub struct Scratch {
    between: Vec<u8>,
    wide: Vec<ChunkBlock>,
}

impl Plan {
    /// Prepares for pictures of `rows × columns` that become `out_rows × out_columns`; none may be 0.
    pub fn new(rows: usize, columns: usize, out_rows: usize, out_columns: usize) -> Self {
        let split = |windows: Vec<_>| windows.iter().map(SplitWindow::new).collect();
        let horizontal = split(lanczos::windows(columns, out_columns));
        let vertical = split(lanczos::windows(rows, out_rows));
        Self {
            rows,
            horizontal,
            vertical,
        }
    }

    /// Resamples `grey`, row-major, into `out`.
    pub fn run(&self, grey: &[u8], scratch: &mut Scratch, out: &mut [u8]) {
        self.run_on(Cpu::detect(), grey, scratch, out);
    }

    fn run_on(&self, cpu: Cpu, grey: &[u8], scratch: &mut Scratch, out: &mut [u8]) {
        let Scratch { between, wide } = scratch;
        between.resize(self.horizontal.len() * self.rows, 0);
        pass(cpu, &self.horizontal, grey, self.rows, wide, between);
        pass(cpu, &self.vertical, between, self.horizontal.len(), wide, out);
    }
}

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
        // SAFETY: this value exists only where AVX2 was detected.
        Cpu::Avx2 => unsafe { avx2::pass(windows, input, rows, wide, output) },
    }
}
