//! Chosen slices as Hounsfield units.

use super::PixelError;
use super::visit::{Job, visit_slices};
use crate::discover::location::Location;
use crate::open::Fetch;
use ctprune_core::pixels::{Scale, SlicePixels, Stored};
use ctprune_core::watch::Watch;
use ctprune_dicom::slice::ReadOptions;

/// Read slices as Hounsfield units (gray values for 8-bit pictures) into `out`, one after the other; for each `None`, or
/// why it failed.
pub fn read_hu(
    slices: Vec<(Location, u32)>,
    pixels_per_slice: usize,
    options: &ReadOptions,
    fetch: Option<&dyn Fetch>,
    watch: &Watch,
    out: &mut [f32],
) -> Vec<Option<PixelError>> {
    let jobs = slices
        .into_iter()
        .zip(out.chunks_exact_mut(pixels_per_slice))
        .map(|((location, frame), target)| Job {
            location,
            frame,
            target,
        })
        .collect();
    visit_slices(watch, jobs, options, fetch, |pixels, target: &mut [f32]| {
        let (expected, found) = (target.len(), pixels.stored.len());
        if expected != found {
            return Err(PixelError::PixelCount { expected, found });
        }
        convert_hu(&pixels, target, |hu| hu as f32);
        Ok(())
    })
}

/// Hounsfield unit of each pixel, converted, into `out` of the same length.
pub(super) fn convert_hu<T>(pixels: &SlicePixels<'_>, out: &mut [T], convert: impl Fn(f64) -> T) {
    let (slope, intercept) = match pixels.scale {
        Scale::Hounsfield { slope, intercept } => (slope, intercept),
        Scale::Gray8 => (1.0, 0.0),
    };
    macro_rules! each {
        ($values:expr) => {
            for (out, &value) in out.iter_mut().zip($values) {
                *out = convert(value as f64 * slope + intercept);
            }
        };
    }
    match pixels.stored {
        Stored::U8(values) => each!(values),
        Stored::I8(values) => each!(values),
        Stored::U16(values) => each!(values),
        Stored::I16(values) => each!(values),
        Stored::U32(values) => each!(values),
        Stored::I32(values) => each!(values),
        Stored::F32(values) => each!(values),
        Stored::F64(values) => each!(values),
    }
}
