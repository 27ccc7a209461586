//! Lanczos resampling of 8-bit grey, equal to Pillow's `Image.resize(size, LANCZOS)` to the bit.
//!
//! Pillow resamples the rows first, rounds the result to 8 bits, then resamples the columns. Here both
//! are one and the same pass, which resamples rows and writes its result transposed: the second pass
//! finds the columns as rows and turns the picture back. Pillow leaves out a pass whose length does not
//! change; its coefficients would be those of the identity, so this makes no difference.

mod lanczos;
mod scalar;

use lanczos::Window;

/// How to resample pictures of one size to another.
#[derive(Debug)]
pub struct Plan {
    horizontal: Vec<Window>,
    vertical: Vec<Window>,
}

impl Plan {
    /// Prepares for pictures of `rows × columns` that become `out_rows × out_columns`; none may be 0.
    pub fn new(rows: usize, columns: usize, out_rows: usize, out_columns: usize) -> Self {
        let horizontal = lanczos::windows(columns, out_columns);
        let vertical = lanczos::windows(rows, out_rows);
        Self { horizontal, vertical }
    }

    /// Resamples `grey`, row-major, into `out`; `between` is kept for its memory.
    pub fn run(&self, grey: &[u8], rows: usize, between: &mut Vec<u8>, out: &mut [u8]) {
        between.resize(self.horizontal.len() * rows, 0);
        scalar::pass(&self.horizontal, grey, rows, between);
        scalar::pass(&self.vertical, between, self.horizontal.len(), out);
    }
}
