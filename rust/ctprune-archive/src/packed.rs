//! Chosen slices as squares of one size, one after the other in memory: what training reads.

use crate::frames::{Failure, Job, for_each_slice_until};
use ctprune_core::intensity::{GreyError, Intensity};
use ctprune_core::pixels::SlicePixels;
use ctprune_core::square::Squares;
use ctprune_dicom::slice::ReadOptions;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Sum and sum of squares of a square's values: exact, from which exact statistics of all are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Sum of the values.
    pub values: u64,
    /// Sum of their squares.
    pub squares: u64,
}

/// How work on several slices is watched and stopped from another thread.
#[derive(Debug, Default)]
pub struct Watch {
    /// Set it, and no further file is begun.
    pub stop: AtomicBool,
    /// Slices done so far.
    pub done: AtomicUsize,
}

/// A value of a packed slice: 8-bit grey, or 16 bits of Hounsfield units.
pub trait Value: Copy + Send + Into<u64> {
    /// Makes the square of one slice; `intensity` concerns 8 bits only.
    fn fill(
        squares: &mut Squares,
        pixels: &SlicePixels<'_>,
        intensity: Intensity,
        out: &mut [Self],
    ) -> Result<(), GreyError>;
}

impl Value for u8 {
    fn fill(
        squares: &mut Squares,
        pixels: &SlicePixels<'_>,
        intensity: Intensity,
        out: &mut [u8],
    ) -> Result<(), GreyError> {
        squares.grey(pixels, intensity, out)
    }
}

impl Value for u16 {
    fn fill(
        squares: &mut Squares,
        pixels: &SlicePixels<'_>,
        _: Intensity,
        out: &mut [u16],
    ) -> Result<(), GreyError> {
        squares.deep(pixels, out)
    }
}

thread_local! {
    static SQUARES: RefCell<Option<Squares>> = const { RefCell::new(None) };
}

/// Reads slices into `out`, `side²` values each, in the order given; for each its sums, or why it failed.
pub fn pack<T: Value>(
    slices: Vec<(PathBuf, u32)>,
    side: usize,
    intensity: Intensity,
    options: &ReadOptions,
    watch: &Watch,
    out: &mut [T],
) -> Vec<Result<Sums, Failure>> {
    let mut sums = vec![Sums::default(); slices.len()];
    let targets = out.chunks_exact_mut(side * side).zip(&mut sums);
    let jobs = slices
        .into_iter()
        .zip(targets)
        .map(|((path, frame), target)| Job { path, frame, target })
        .collect();
    let failures = for_each_slice_until(
        &watch.stop,
        jobs,
        options,
        |pixels, (square, sums): (&mut [T], &mut Sums)| {
            watch.done.fetch_add(1, Ordering::Relaxed);
            *sums = pack_slice(&pixels, side, intensity, square)
                .map_err(|error| Failure::Slice(error.to_string()))?;
            Ok(())
        },
    );
    let outcome = |(sums, failure): (Sums, Option<Failure>)| failure.map_or(Ok(sums), Err);
    sums.into_iter().zip(failures).map(outcome).collect()
}

/// Makes the square of one slice that is in memory.
pub fn pack_slice<T: Value>(
    pixels: &SlicePixels<'_>,
    side: usize,
    intensity: Intensity,
    out: &mut [T],
) -> Result<Sums, GreyError> {
    SQUARES.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|squares| squares.side() != side) {
            *slot = None;
        }
        let squares = slot.get_or_insert_with(|| Squares::new(side));
        T::fill(squares, pixels, intensity, out)
    })?;
    Ok(out.iter().fold(Sums::default(), |sums, &value| {
        let value: u64 = value.into();
        Sums {
            values: sums.values + value,
            squares: sums.squares + value * value,
        }
    }))
}
