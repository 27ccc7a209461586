//! One file of any kind to slices: looks at its first bytes and calls the reader of that format.

use crate::code::Code;
use crate::contain::contained;
use crate::error::ReadError;
use crate::open::open_regular;
use crate::slice::{Event, ReadOptions, Refusal};
use crate::turns;
use crate::{dicom, image, nifti};
use std::fs::File;
use std::io::{Read, Seek};
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
    match open_file(path) {
        Ok((file, head)) => read_open_file(path, file, &head, options, buffers, each),
        Err(error) => {
            let refusal = error.into();
            each(Event::Refused { info: None, refusal });
            None
        }
    }
}

/// How many of a file's first bytes tell its format.
pub const HEAD_BYTES: usize = nifti::HEAD_BYTES;

/// The first bytes of a file.
pub struct Head {
    bytes: [u8; HEAD_BYTES],
    length: usize,
}

impl Head {
    /// The bytes, fewer than [`HEAD_BYTES`] only if the file is shorter.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Opens a regular file and reads its first bytes: names of archives' files tell nothing.
pub fn open_file(path: &Path) -> Result<(File, Head), ReadError> {
    let mut head = Head {
        bytes: [0; HEAD_BYTES],
        length: 0,
    };
    let file = open_regular(path)
        .and_then(|mut file| {
            head.length = read_head(&mut file, &mut head.bytes)?;
            Ok(file)
        })
        .map_err(|error| ReadError::io("the file cannot be read", &error))?;
    Ok((file, head))
}

/// The same as [`read_file`] for a file that [`open_file`] has opened.
pub fn read_open_file(
    name: &Path,
    file: File,
    head: &Head,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Option<Format> {
    read_contained(buffers, each, |format, buffers, each| {
        let found = identify(name, head.bytes())?;
        *format = Some(found);
        match found {
            Format::Dicom => dicom::read_open_file(file, options, &mut buffers.dicom, each),
            Format::Nifti => nifti::read_open_file(file, options, &mut buffers.nifti, each),
            Format::Image => image::read_open_file(file, options, &mut buffers.image, each),
        }
        Ok(())
    })
}

/// The same for `len` bytes that a reader gives, such as a large member of a container.
pub fn read_part(
    name: &Path,
    mut reader: impl Read + Seek,
    len: u64,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Option<Format> {
    read_contained(buffers, each, |format, buffers, each| {
        let mut head = [0; HEAD_BYTES];
        let length = read_head(&mut reader, &mut head)
            .and_then(|length| reader.rewind().map(|()| length))
            .map_err(|error| ReadError::io("the file cannot be read", &error))?;
        let found = identify(name, &head[..length])?;
        *format = Some(found);
        match found {
            Format::Dicom => dicom::read_part(reader, len, options, &mut buffers.dicom, each),
            Format::Nifti => nifti::read_part(reader, len, options, &mut buffers.nifti, each),
            Format::Image => image::read_part(reader, options, &mut buffers.image, each),
        }
        Ok(())
    })
}

/// The same for a file whose bytes are in memory, such as a member of a container; `name` is what it is called there.
pub fn read_bytes(
    name: &Path,
    bytes: &[u8],
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Option<Format> {
    read_contained(buffers, each, |format, buffers, each| {
        let found = identify(name, &bytes[..bytes.len().min(HEAD_BYTES)])?;
        *format = Some(found);
        match found {
            Format::Dicom => dicom::read_bytes(bytes, options, &mut buffers.dicom, each),
            Format::Nifti => nifti::read_bytes(bytes, options, &mut buffers.nifti, each),
            Format::Image => image::read_bytes(bytes, options, &mut buffers.image, each),
        }
        Ok(())
    })
}

/// Calls `read`, which notes the format that it finds; whatever ends it becomes a refusal.
fn read_contained<'e>(
    buffers: &mut Buffers,
    each: &mut (dyn FnMut(Event<'_>) + 'e),
    read: impl FnOnce(&mut Option<Format>, &mut Buffers, &mut (dyn FnMut(Event<'_>) + 'e)) -> Result<(), Refusal>,
) -> Option<Format> {
    let mut format = None;
    let worked = contained(|| {
        if let Err(refusal) = read(&mut format, buffers, each) {
            each(Event::Refused { info: None, refusal });
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

/// The format of a file by its first [`HEAD_BYTES`], or why it is not read.
pub fn identify(name: &Path, head: &[u8]) -> Result<Format, Refusal> {
    if head.is_empty() {
        return Err(ReadError::Empty.into());
    }
    match format_of(head) {
        Some(format) => Ok(format),
        None if promises_slices(name) => {
            Err(ReadError::other(Code::Unrecognized, "image extension, unrecognized content").into())
        }
        None => Err(Refusal::skipped(
            Code::NotAnImage,
            "not DICOM, NIfTI, PNG, JPEG or TIFF",
        )),
    }
}

/// Whether the first bytes of a file are enough to refuse it: [`read_bytes`] of them alone says the same as of all.
pub fn header_decides(head: &[u8], options: &ReadOptions) -> bool {
    let decided = contained(|| {
        let decides = match format_of(head) {
            None => head.len() >= HEAD_BYTES,
            Some(Format::Dicom) => dicom::header_decides(head, options),
            Some(_) => false,
        };
        Ok::<_, ReadError>(decides)
    });
    decided.unwrap_or(false)
}

/// The format of a file by its first [`HEAD_BYTES`].
pub fn format_of(head: &[u8]) -> Option<Format> {
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

fn read_head(file: &mut impl Read, head: &mut [u8]) -> std::io::Result<usize> {
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
