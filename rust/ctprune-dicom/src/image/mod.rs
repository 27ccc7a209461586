//! PNG, JPEG and TIFF: pictures to slices, with the pixel values that Pillow gives.
//!
//! Pictures of 8 bits (and fewer) become [`Scale::Gray8`], as `Image.open(path).convert("L")` does it; gray
//! pictures of 16 bits and more keep their stored values as [`Scale::Hounsfield`] with slope 1. Orientation tags
//! are not applied, like in Pillow's `open`. Of an animated PNG the first image is read; a TIFF gives one slice
//! a page.
//!
//! [`Scale::Gray8`]: ctprune_core::pixels::Scale::Gray8
//! [`Scale::Hounsfield`]: ctprune_core::pixels::Scale::Hounsfield

mod gray;
mod jpeg;
mod png;
mod tiff;

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use ctprune_core::pixels::{Scale, SlicePixels, Stored};

use crate::aligned::AlignedBytes;
use crate::error::{ReadError, unexpected};
use crate::open::open_regular;
use crate::samples::{SampleType, stored};
use crate::slice::{Event, ReadOptions, Refusal, SliceInfo};
use crate::turns;

/// The kinds of picture, told apart by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Png,
    Jpeg,
    Tiff,
}

impl Kind {
    fn of(head: &[u8]) -> Option<Kind> {
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
        const JPEG: &[u8] = b"\xff\xd8\xff";
        // Little and big endian, classic and BigTIFF.
        const TIFF: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
        if head.starts_with(PNG) {
            Some(Kind::Png)
        } else if head.starts_with(JPEG) {
            Some(Kind::Jpeg)
        } else if TIFF.iter().any(|magic| head.starts_with(magic)) {
            Some(Kind::Tiff)
        } else {
            None
        }
    }
}

/// Whether the first bytes of a file (8 are enough) are those of a PNG, JPEG or TIFF file.
pub fn looks_like_image(head: &[u8]) -> bool {
    Kind::of(head).is_some()
}

/// Memory that is kept from file to file; one per thread.
#[derive(Debug, Default)]
pub struct Buffers {
    file: Vec<u8>,
    decoded: Decoded,
}

impl Buffers {
    /// Gives back what an unusually large picture needed.
    pub(crate) fn trim(&mut self) {
        self.decoded.samples.trim();
        for bytes in [&mut self.file, &mut self.decoded.gray] {
            if bytes.capacity() as u64 > turns::LARGE {
                *bytes = Vec::new();
            }
        }
    }
}

/// Where a decoder leaves one slice.
#[derive(Debug, Default)]
struct Decoded {
    samples: AlignedBytes,
    gray: Vec<u8>,
}

impl Decoded {
    /// The picture that a decoder has just left here.
    fn stored(&self, picture: &Picture) -> (Stored<'_>, Scale) {
        match picture.content {
            Content::Gray => (Stored::U8(&self.gray), Scale::Gray8),
            Content::Samples(sample) => {
                let bytes = picture.rows * picture.columns * sample.size();
                let scale = Scale::Hounsfield {
                    slope: 1.0,
                    intercept: 0.0,
                };
                (stored(sample, self.samples.bytes(bytes)), scale)
            }
        }
    }
}

/// What a decoder left in [`Decoded`].
#[derive(Clone, Copy, Debug)]
struct Picture {
    rows: usize,
    columns: usize,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    /// 8-bit gray in `Decoded::gray`.
    Gray,
    /// Values as stored in `Decoded::samples`.
    Samples(SampleType),
}

/// Reads a picture file; calls `each` once per slice or refusal.
pub fn read_file(path: &Path, options: &ReadOptions, buffers: &mut Buffers, each: &mut dyn FnMut(Event<'_>)) {
    match open_regular(path) {
        Ok(file) => read_open_file(file, options, buffers, each),
        Err(error) => {
            let refusal = ReadError::io("the file cannot be opened", &error).into();
            each(Event::Refused { info: None, refusal });
        }
    }
}

/// The same for a file that is open already.
pub fn read_open_file(
    file: File,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    read_part(file, options, buffers, each);
}

/// The same for bytes that a reader gives.
pub fn read_part(
    reader: impl Read + Seek,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    if let Err(refusal) = read_opened(reader, options, buffers, each) {
        each(Event::Refused { info: None, refusal });
    }
}

/// Reads a picture from memory; calls `each` once per slice or refusal.
pub fn read_bytes(
    bytes: &[u8],
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    let decoded = &mut buffers.decoded;
    match Kind::of(bytes) {
        Some(Kind::Tiff) => tiff::read(Cursor::new(bytes), options, decoded, each),
        Some(Kind::Png) => hand_over(png::decode(bytes, options, decoded), 0, decoded, each),
        Some(Kind::Jpeg) => hand_over(jpeg::decode(bytes, options, decoded), 0, decoded, each),
        None => each(Event::Refused {
            info: None,
            refusal: not_an_image(),
        }),
    }
}

fn read_opened(
    mut file: impl Read + Seek,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    let unreadable = |error| ReadError::io("the file cannot be read", &error);
    // The file's bytes move out while they are decoded, so that the rest of the buffers can be written to.
    let mut bytes = std::mem::take(&mut buffers.file);
    bytes.clear();
    file.rewind().map_err(unreadable)?;
    (&mut file).take(8).read_to_end(&mut bytes).map_err(unreadable)?;
    if Kind::of(&bytes) == Some(Kind::Tiff) {
        // Pages are read one by one: a stack may be larger than memory.
        file.rewind().map_err(unreadable)?;
        tiff::read(BufReader::new(file), options, &mut buffers.decoded, each);
    } else if Kind::of(&bytes).is_some() {
        read_rest(&mut file, &mut bytes, options)?;
        read_bytes(&bytes, options, buffers, each);
    } else {
        return Err(not_an_image());
    }
    buffers.file = bytes;
    Ok(())
}

/// Reads a compressed picture whole. One that is larger than its pixels may be is not decoded.
fn read_rest(file: &mut impl Read, bytes: &mut Vec<u8>, options: &ReadOptions) -> Result<(), ReadError> {
    let limit = options.max_slice_bytes;
    file.take(limit.saturating_add(1))
        .read_to_end(bytes)
        .map_err(|error| ReadError::io("the file cannot be read", &error))?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge {
            what: "the bytes of the file".into(),
            limit,
        });
    }
    Ok(())
}

fn hand_over(
    picture: Result<Picture, impl Into<Refusal>>,
    frame: u32,
    decoded: &Decoded,
    each: &mut dyn FnMut(Event<'_>),
) {
    let picture = match picture {
        Ok(picture) => picture,
        Err(error) => {
            let info = SliceInfo {
                frame,
                ..SliceInfo::default()
            };
            return each(Event::Refused {
                info: Some(&info),
                refusal: error.into(),
            });
        }
    };
    let (stored, scale) = decoded.stored(&picture);
    let Picture { rows, columns, .. } = picture;
    // Both sides come from 32-bit header fields.
    let info = SliceInfo {
        frame,
        rows: rows as u32,
        columns: columns as u32,
        ..SliceInfo::default()
    };
    each(Event::Slice {
        info: &info,
        pixels: SlicePixels {
            extremes: None,
            rows,
            columns,
            stored,
            scale,
        },
    });
}

fn not_an_image() -> Refusal {
    let expected = "those of a PNG, JPEG or TIFF file";
    unexpected("the first bytes", expected, "others").into()
}
