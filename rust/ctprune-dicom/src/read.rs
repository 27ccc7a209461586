//! One file of any kind to slices: looks at its first bytes and calls the reader of that format.

use crate::slice::{Event, ReadOptions, Refusal};
use crate::{dicom, image, nifti};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// DICOM, any file name, with or without preamble.
    Dicom,
    /// NIfTI, plain or gzipped.
    Nifti,
    /// PNG, JPEG or TIFF.
    Image,
}

/// Memory that is kept from file to file; one per thread.
#[derive(Default)]
pub struct Buffers {
    dicom: dicom::Buffers,
    nifti: nifti::Buffers,
    image: image::Buffers,
}

/// Reads a file of any format and reports each slice, or why there is none; at least one event.
///
/// Returns the format, `None` when the file is of none of them.
pub fn read_file(
    path: &Path,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Option<Format> {
    let format = match format_of(path) {
        Ok(format) => format,
        Err(refusal) => {
            each(Event::Refused { info: None, refusal });
            return None;
        }
    };
    match format {
        Format::Dicom => dicom::read_file(path, options, &mut buffers.dicom, each),
        Format::Nifti => nifti::read_file(path, options, &mut buffers.nifti, each),
        Format::Image => image::read_file(path, options, &mut buffers.image, each),
    }
    Some(format)
}

/// Format by content: names of archives' files tell nothing.
fn format_of(path: &Path) -> Result<Format, Refusal> {
    let mut head = [0; nifti::HEAD_BYTES];
    let length = File::open(path)
        .and_then(|mut file| read_head(&mut file, &mut head))
        .map_err(|error| Refusal::Failed(format!("the file cannot be read: {error}")))?;
    let head = &head[..length];
    if head.is_empty() {
        return Err(Refusal::Failed("the file is empty".into()));
    }
    // NIfTI before DICOM: its header may begin like a DICOM data set without preamble, and its magic is certain.
    if head.get(128..132) == Some(b"DICM") {
        // Some writers put a TIFF header into the preamble, for software that reads both.
        Ok(Format::Dicom)
    } else if image::looks_like_image(head) {
        Ok(Format::Image)
    } else if nifti::looks_like_nifti(head) || nifti::looks_like_gzipped_nifti(head) {
        Ok(Format::Nifti)
    } else if dicom::looks_like_dicom(head) {
        Ok(Format::Dicom)
    } else {
        Err(Refusal::Skipped("not DICOM, NIfTI, PNG, JPEG or TIFF".into()))
    }
}

fn read_head(file: &mut File, head: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < head.len() {
        match file.read(&mut head[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
