//! NIfTI-1 and NIfTI-2 single files, plain or gzipped: one slice per index of the third axis.
//!
//! A slice has rows along the second axis and columns along the first, as stored: it equals
//! `np.asanyarray(nibabel.load(path).dataobj)[:, :, k].T` before scaling. A file with several volumes
//! (a fourth dimension) gives all their slices, volume after volume; `frame` counts on, and the acquisition
//! number is the volume's, from 1. One slice is in memory at a time, also when the file is gzipped.

mod fields;
mod geometry;
mod header;
mod volume;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::aligned::AlignedBytes;
use crate::error::ReadError;
use crate::open::open_regular;
use crate::slice::{Event, ReadOptions, Refusal};
use header::Header;

/// How many of a file's first bytes [`looks_like_nifti`] and [`looks_like_gzipped_nifti`] want to see.
pub const HEAD_BYTES: usize = 4096;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// Memory that is kept from file to file; one per thread.
#[derive(Debug, Default)]
pub struct Buffers {
    samples: AlignedBytes,
}

impl Buffers {
    /// Gives back what an unusually large slice needed.
    pub(crate) fn trim(&mut self) {
        self.samples.trim();
    }
}

/// Whether the first [`HEAD_BYTES`] of a file are those of an uncompressed NIfTI file (or of the header file of
/// a pair, which [`read_file`] skips with that reason).
pub fn looks_like_nifti(head: &[u8]) -> bool {
    fields::version(head).is_some()
}

/// Whether the first [`HEAD_BYTES`] of a file are those of a gzipped NIfTI file.
pub fn looks_like_gzipped_nifti(head: &[u8]) -> bool {
    let mut unpacked = Vec::new();
    if head.starts_with(GZIP_MAGIC) {
        // The head is cut off somewhere, so an error after the first bytes is expected.
        let _ = MultiGzDecoder::new(head)
            .take(fields::V2_BYTES as u64)
            .read_to_end(&mut unpacked);
    }
    looks_like_nifti(&unpacked)
}

/// Reads a NIfTI file; calls `each` once per slice, or with the refusal that ends the reading.
pub fn read_file(path: &Path, options: &ReadOptions, buffers: &mut Buffers, each: &mut dyn FnMut(Event<'_>)) {
    match open_regular(path) {
        Ok(file) => read_open_file(file, options, buffers, each),
        Err(error) => {
            each(Event::Refused {
                info: None,
                refusal: ReadError::io("the file cannot be opened", &error).into(),
            });
        }
    }
}

/// The same for a file that is open already.
pub fn read_open_file(
    mut file: File,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    let length = file.rewind().and_then(|()| Ok(file.metadata()?.len()));
    match length {
        Ok(length) => read(
            BufReader::with_capacity(1 << 16, file),
            length,
            options,
            buffers,
            each,
        ),
        Err(error) => {
            each(Event::Refused {
                info: None,
                refusal: ReadError::io("the file cannot be read", &error).into(),
            });
        }
    }
}

/// The same for `length` bytes that a reader gives.
pub fn read_part(
    reader: impl Read,
    length: u64,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    let source = BufReader::with_capacity(1 << 16, reader);
    read(source, length, options, buffers, each);
}

/// Reads a NIfTI file from memory; calls `each` once per slice, or with the refusal that ends the reading.
pub fn read_bytes(
    bytes: &[u8],
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    read(bytes, bytes.len() as u64, options, buffers, each);
}

fn read(
    mut source: impl BufRead,
    length: u64,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    let gzipped = source.fill_buf().is_ok_and(|head| head.starts_with(GZIP_MAGIC));
    let outcome = if gzipped {
        read_plain(MultiGzDecoder::new(source), None, options, buffers, each)
    } else {
        read_plain(source, Some(length), options, buffers, each)
    };
    if let Err(refusal) = outcome {
        each(Event::Refused { info: None, refusal });
    }
}

/// `length` is the number of bytes that `source` gives, where it is known beforehand.
fn read_plain(
    mut source: impl Read,
    length: Option<u64>,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    let header = Header::read(&mut source)?;
    volume::read_slices(&header, source, length, options, &mut buffers.samples, each)?;
    Ok(())
}
