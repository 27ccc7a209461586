//! What is read of files when their pixels are not wanted.

use std::cell::Cell;
use std::io::{Cursor, Read, Result, Seek, SeekFrom};

use ctprune_dicom::dicom::{Buffers, read_part};
use ctprune_dicom::slice::ReadOptions;

use super::build::{
    BIG_ENDIAN, DEFLATED, DataSet, EXPLICIT, IMPLICIT, Image, JPEG_2000, PIXELS, RLE, ct_head, rle, slice,
};
use super::multi_frame::enhanced;
use super::{Seen, events, events_with, owned};

fn options() -> ReadOptions {
    ReadOptions {
        headers_only: true,
        ..ReadOptions::default()
    }
}

/// The events of a file without the pixels.
fn described(seen: Vec<Seen>) -> Vec<Seen> {
    let described = |event| match event {
        Seen::Slice(info, _) => Seen::Header(info),
        other => other,
    };
    seen.into_iter().map(described).collect()
}

#[test]
fn headers_describe_what_reading_all_describes() {
    let compressed = Image::default()
        .ct(RLE)
        .fragments(&[0], &[&rle(&PIXELS)])
        .file(RLE);
    let files = [EXPLICIT, IMPLICIT, BIG_ENDIAN].map(slice);
    let many = [EXPLICIT, IMPLICIT].map(enhanced);
    for file in files.iter().chain(&many).chain([&compressed]) {
        let seen = events_with(file, &options());
        assert!(matches!(seen[0], Seen::Header(_)), "{seen:?}");
        assert_eq!(seen, described(events(file)));
    }
}

#[test]
fn pixels_that_cannot_be_decoded_do_not_matter() {
    let broken = Image::default()
        .ct(JPEG_2000)
        .fragments(&[], &[b"no codestream."])
        .file(JPEG_2000);
    assert!(matches!(events(&broken)[..], [Seen::Refused(..)]));
    assert!(matches!(events_with(&broken, &options())[..], [Seen::Header(_)]));
}

#[test]
fn what_the_header_refuses_is_refused_alike() {
    let truncated = {
        let mut file = slice(EXPLICIT);
        file.truncate(file.len() - 2);
        file
    };
    let scout = ct_head(EXPLICIT)
        .text(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\LOCALIZER")
        .file(EXPLICIT);
    let no_rows = Image {
        rows: 0,
        ..Image::default()
    };
    let no_rows = no_rows.ct(EXPLICIT).pixels(&PIXELS).file(EXPLICIT);
    for file in [
        truncated,
        scout,
        no_rows,
        DataSet::new(DEFLATED).file(DEFLATED),
        b"text".to_vec(),
    ] {
        let seen = events_with(&file, &options());
        assert!(matches!(seen[..], [Seen::Refused(..)]), "{seen:?}");
        assert_eq!(seen, events(&file));
    }
}

/// Counts the bytes that are read.
struct Counted<'a> {
    bytes: Cursor<Vec<u8>>,
    read: &'a Cell<usize>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.read.set(self.read.get() + count);
        Ok(count)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.bytes.seek(to)
    }
}

#[test]
fn no_more_is_read_than_the_header() {
    let image = Image {
        rows: 512,
        columns: 512,
        ..Image::default()
    };
    let file = image.ct(EXPLICIT).pixels(&vec![7; 512 * 512]).file(EXPLICIT);
    let length = file.len() as u64;
    for (options, most) in [(options(), 1 << 15), (ReadOptions::default(), file.len())] {
        let read = Cell::new(0);
        let counted = Counted {
            bytes: Cursor::new(file.clone()),
            read: &read,
        };
        let mut seen = Vec::new();
        read_part(counted, length, &options, &mut Buffers::default(), &mut |event| {
            seen.push(owned(event))
        });
        assert!(matches!(described(seen)[..], [Seen::Header(_)]));
        assert_eq!(read.get(), most);
    }
}

#[test]
fn a_long_header_is_read_to_its_end() {
    let image = Image::default();
    let long = vec![0; 200_000];
    let head = image.ct(EXPLICIT);
    let file = DataSet {
        bytes: head.bytes.clone(),
        ..head
    }
    .put(0x0029_1010, "OB", &long)
    .pixels(&PIXELS)
    .file(EXPLICIT);
    assert_eq!(events_with(&file, &options()), described(events(&file)));
    assert!(matches!(events(&file)[..], [Seen::Slice(..)]));
}
