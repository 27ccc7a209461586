//! Chosen slices as gray PNG.

use super::PixelError;
use super::hu::convert_hu;
use super::visit::{Job, visit_slices};
use crate::open::Fetch;
use ctprune_core::intensity::{Intensity, to_gray};
use ctprune_core::pixels::Scale;
use ctprune_core::watch::Watch;
use ctprune_dicom::error::without_number;
use ctprune_dicom::png_writer::{write_png8, write_png16};
use ctprune_dicom::slice::ReadOptions;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What 16-bit pictures add to a Hounsfield unit, so that the air around the patient is not below 0.
pub const PNG_HU_OFFSET: f64 = ctprune_core::resize::HU_OFFSET;

/// Write slices as gray PNG: 8 bits as they were fingerprinted, or 16 bits of HU + [`PNG_HU_OFFSET`]; for each `None`, or
/// why it failed. Never overwrites.
pub fn write_pngs(
    jobs: Vec<Job<PathBuf>>,
    sixteen_bits: bool,
    intensity: Intensity,
    options: &ReadOptions,
    fetch: Option<&dyn Fetch>,
    watch: &Watch,
) -> Vec<Option<PixelError>> {
    visit_slices(watch, jobs, options, fetch, |pixels, target| {
        if sixteen_bits {
            if pixels.scale == Scale::Gray8 {
                return Err(PixelError::NoHounsfieldUnits);
            }
            let mut values = vec![0u16; pixels.stored.len()];
            // `as` clamps to 0..=65535.
            convert_hu(&pixels, &mut values, |hu| {
                (hu + PNG_HU_OFFSET).round_ties_even() as u16
            });
            return create(&target, |file| {
                write_png16(file, pixels.rows, pixels.columns, &values)
            });
        }
        let mut buffer = Vec::new();
        let gray = to_gray(&pixels, intensity, &mut buffer)?;
        create(&target, |file| {
            write_png8(file, pixels.rows, pixels.columns, gray.pixels)
        })
    })
}

fn create<E: Display>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), PixelError> {
    let failed = |error: &dyn Display| PixelError::Output {
        path: path.to_owned(),
        reason: without_number(&error.to_string()),
    };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| failed(&error))?;
    let mut file = BufWriter::new(file);
    write(&mut file).map_err(|error| failed(&error))?;
    file.flush().map_err(|error| failed(&error))
}
