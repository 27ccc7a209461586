//! The voxels of a NIfTI file, slice by slice.

use std::io::{ErrorKind, Read, copy, sink};

use ctprune_core::pixels::{Scale, SlicePixels};

use super::header::Header;
use crate::aligned::AlignedBytes;
use crate::error::{ReadError, unexpected};
use crate::samples::{make_native, slice_bytes, stored};
use crate::slice::{Event, ReadOptions, SliceInfo};

/// Hands over each slice as soon as it is read. Where `length`, the file's, is known, a file that is too
/// short is refused before its first slice; a gzipped one is refused where it ends. With `headers_only` no voxel is
/// read.
pub(super) fn read_slices(
    header: &Header,
    mut source: impl Read,
    length: Option<u64>,
    options: &ReadOptions,
    samples: &mut AlignedBytes,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), ReadError> {
    let slice_length = slice_bytes(header.rows, header.columns, header.sample.size() as u64, options)?;
    let frames = frame_count(header)?;
    check_length(header, slice_length, frames, length)?;
    if options.headers_only {
        for frame in 0..frames {
            each(Event::Header {
                info: &describe(header, frame),
            });
        }
        return Ok(());
    }
    skip(&mut source, header.gap)?;
    for frame in 0..frames {
        let bytes = samples.take(slice_length);
        source
            .read_exact(bytes)
            .map_err(|error| unreadable(frame, frames, &error))?;
        make_native(bytes, header.sample.size(), header.big_endian);
        each(Event::Slice {
            info: &describe(header, frame),
            pixels: SlicePixels {
                extremes: None,
                rows: header.rows as usize,
                columns: header.columns as usize,
                stored: stored(header.sample, samples.bytes(slice_length)),
                scale: Scale::Hounsfield {
                    slope: header.slope,
                    intercept: header.intercept,
                },
            },
        });
    }
    Ok(())
}

/// Slices of all volumes.
fn frame_count(header: &Header) -> Result<u32, ReadError> {
    let frames = header
        .slices
        .checked_mul(header.volumes)
        .and_then(|frames| u32::try_from(frames).ok());
    frames.ok_or_else(|| {
        unexpected(
            "the slices of the NIfTI file",
            format!("{} at most", u32::MAX),
            format!("{} × {}", header.slices, header.volumes),
        )
    })
}

fn check_length(
    header: &Header,
    slice_length: usize,
    frames: u32,
    length: Option<u64>,
) -> Result<(), ReadError> {
    let Some(found) = length else { return Ok(()) };
    let expected = u128::from(header.data_start()) + slice_length as u128 * u128::from(frames);
    if u128::from(found) < expected {
        return Err(ReadError::TooFew {
            what: "the NIfTI file".into(),
            unit: "byte",
            expected: u64::try_from(expected).unwrap_or(u64::MAX),
            found,
        });
    }
    Ok(())
}

fn skip(source: &mut impl Read, count: u64) -> Result<(), ReadError> {
    match copy(&mut source.take(count), &mut sink()) {
        Ok(skipped) if skipped == count => Ok(()),
        Ok(_) => Err(ReadError::Truncated("the NIfTI file")),
        Err(error) => Err(ReadError::io("the NIfTI file cannot be read", &error)),
    }
}

fn unreadable(frame: u32, frames: u32, error: &std::io::Error) -> ReadError {
    match error.kind() {
        ErrorKind::UnexpectedEof => ReadError::TooFew {
            what: "the NIfTI file".into(),
            unit: "slice",
            expected: frames.into(),
            found: frame.into(),
        },
        _ => ReadError::io(
            format!("the NIfTI file cannot be read after {frame} of {frames} slices"),
            error,
        ),
    }
}

fn describe(header: &Header, frame: u32) -> SliceInfo {
    let (volume, k) = (u64::from(frame) / header.slices, u64::from(frame) % header.slices);
    let mut info = SliceInfo {
        frame,
        // `slice_bytes` has checked that both fit.
        rows: header.rows as u32,
        columns: header.columns as u32,
        acquisition_number: (header.volumes > 1).then_some(volume as i64 + 1),
        ..SliceInfo::default()
    };
    header.geometry.describe(k, &mut info);
    info
}
