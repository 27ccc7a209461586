//! Chosen slices resized to one size, one after the other in memory: what training reads.

use super::PixelError;
use super::visit::{Job, visit_slices};
use crate::discover::location::Location;
use crate::open::Fetch;
use ctprune_core::intensity::{GrayError, Intensity};
use ctprune_core::pixels::SlicePixels;
use ctprune_core::resize::Resizer;
use ctprune_core::watch::Watch;
use ctprune_dicom::slice::ReadOptions;
use std::cell::RefCell;

/// Sum and sum of squares of a resized slice's values: exact, from which exact statistics of all slices are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Sum of the values.
    pub sum: u64,
    /// Sum of the squares of the values.
    pub sum_sq: u64,
}

/// A value of a resized slice: 8-bit gray, or 16 bits of Hounsfield units.
pub trait ResizedValue: Copy + Send + Into<u64> {
    /// Resizes one slice; `intensity` concerns 8 bits only.
    fn resize(
        resizer: &mut Resizer,
        pixels: &SlicePixels<'_>,
        intensity: Intensity,
        out: &mut [Self],
    ) -> Result<(), GrayError>;
}

impl ResizedValue for u8 {
    fn resize(
        resizer: &mut Resizer,
        pixels: &SlicePixels<'_>,
        intensity: Intensity,
        out: &mut [u8],
    ) -> Result<(), GrayError> {
        resizer.resize_gray(pixels, intensity, out)
    }
}

impl ResizedValue for u16 {
    fn resize(
        resizer: &mut Resizer,
        pixels: &SlicePixels<'_>,
        _: Intensity,
        out: &mut [u16],
    ) -> Result<(), GrayError> {
        resizer.resize_hu(pixels, out)
    }
}

thread_local! {
    /// Kept from call to call, for its memory and its plans.
    static RESIZER: RefCell<Option<Resizer>> = const { RefCell::new(None) };
}

/// Reads slices into `out`, `side²` values each, in the order given; for each its sums, or why it failed.
///
/// `watch` counts the slices done; once it is stopped, no further file is begun.
pub fn read_resized<T: ResizedValue>(
    slices: Vec<(Location, u32)>,
    side: usize,
    intensity: Intensity,
    options: &ReadOptions,
    fetch: Option<&dyn Fetch>,
    watch: &Watch,
    out: &mut [T],
) -> Vec<Result<Sums, PixelError>> {
    let mut sums = vec![Sums::default(); slices.len()];
    let targets = out.chunks_exact_mut(side * side).zip(&mut sums);
    let jobs = slices
        .into_iter()
        .zip(targets)
        .map(|((location, frame), target)| Job {
            location,
            frame,
            target,
        })
        .collect();
    let act = |pixels: SlicePixels<'_>, (out, sums): (&mut [T], &mut Sums)| {
        watch.advance(1);
        *sums = resize_slice(&pixels, side, intensity, out)?;
        Ok(())
    };
    let failures = visit_slices(watch, jobs, options, fetch, act);
    let outcome = |(sums, failure): (Sums, Option<PixelError>)| failure.map_or(Ok(sums), Err);
    sums.into_iter().zip(failures).map(outcome).collect()
}

/// Resizes one slice that is in memory.
pub fn resize_slice<T: ResizedValue>(
    pixels: &SlicePixels<'_>,
    side: usize,
    intensity: Intensity,
    out: &mut [T],
) -> Result<Sums, GrayError> {
    RESIZER.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|resizer| resizer.side() != side) {
            *slot = None;
        }
        let resizer = slot.get_or_insert_with(|| Resizer::new(side));
        T::resize(resizer, pixels, intensity, out)
    })?;
    Ok(out.iter().fold(Sums::default(), |sums, &value| {
        let value: u64 = value.into();
        Sums {
            sum: sums.sum + value,
            sum_sq: sums.sum_sq + value * value,
        }
    }))
}
