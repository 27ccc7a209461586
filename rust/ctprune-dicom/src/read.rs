//! One file of any kind to slices: looks at its first bytes and calls the reader of that format.

use crate::contain::contained;
use crate::error::ReadError;
use crate::open::open_regular;
use crate::slice::{Event, ReadOptions, Refusal};
use crate::turns;
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
    let mut format = None;
    let worked = contained(|| {
        match open(path) {
            Ok((file, found)) => {
                format = Some(found);
                match found {
                    Format::Dicom => dicom::read_open_file(file, options, &mut buffers.dicom, each),
                    Format::Nifti => nifti::read_open_file(file, options, &mut buffers.nifti, each),
                    Format::Image => image::read_open_file(file, options, &mut buffers.image, each),
                }
            }
            Err(refusal) => each(Event::Refused { info: None, refusal }),
        }
        Ok(())
    });
    if let Err(error) = worked {
        // Whatever state the panic left behind.
        *buffers = Buffers::default();
        each(Event::Refused {
            info: None,
            refusal: Refusal::Failed(error),
        });
    }
    buffers.nifti.trim();
    buffers.image.trim();
    turns::end();
    format
}

/// Open a file and look at its first bytes: names of archives' files tell nothing.
fn open(path: &Path) -> Result<(File, Format), Refusal> {
    let mut head = [0; nifti::HEAD_BYTES];
    let (file, length) = open_regular(path)
        .and_then(|mut file| read_head(&mut file, &mut head).map(|length| (file, length)))
        .map_err(|error| ReadError::io("the file cannot be read", &error))?;
    let head = &head[..length];
    if head.is_empty() {
        return Err(ReadError::Invalid("the file is empty").into());
    }
    match format_of(head) {
        Some(format) => Ok((file, format)),
        None if promises_slices(path) => {
            Err(ReadError::Invalid("image extension, unrecognized content").into())
        }
        None => Err(Refusal::Skipped("not DICOM, NIfTI, PNG, JPEG or TIFF".into())),
    }
}

fn format_of(head: &[u8]) -> Option<Format> {
    // Some writers put a TIFF header into DICOM's preamble, for software that reads either.
    if head.get(128..132) == Some(b"DICM") {
        Some(Format::Dicom)
    } else if image::looks_like_image(head) {
        Some(Format::Image)
    } else if nifti::looks_like_nifti(head) || nifti::looks_like_gzipped_nifti(head) {
        Some(Format::Nifti)
    } else {
        dicom::looks_like_dicom(head).then_some(Format::Dicom)
    }
}

/// Whether a file's name says that it holds slices, so that not to find any is a fault.
fn promises_slices(path: &Path) -> bool {
    let known = ["dcm", "dicom", "ima", "nii", "png", "jpg", "jpeg", "tif", "tiff"];
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| known.contains(&ending.to_ascii_lowercase().as_str()))
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
