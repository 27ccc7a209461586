//! What is wrong with files, each with its sentence; nothing panics.

use std::io::Write;

use ctprune_dicom::slice::{ReadOptions, Refusal};
use flate2::{Compression, write::DeflateEncoder};

use super::build::{
    CT_IMAGE, DEFLATED, DataSet, EXPLICIT, IMPLICIT, Image, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, JPEG_XL,
    PIXEL_DATA, PIXELS, RLE, ct_head, rle, slice,
};
use super::{Seen, events, events_with, info, refusal};

/// A CT slice with elements that replace its own.
fn altered(alter: impl Fn(DataSet) -> DataSet) -> Vec<u8> {
    alter(Image::default().ct(EXPLICIT))
        .pixels(&PIXELS)
        .file(EXPLICIT)
}

#[test]
fn an_empty_file() {
    assert_eq!(refusal(b""), "failed: not a DICOM file");
}

#[test]
fn a_file_of_another_format() {
    assert_eq!(refusal(b"# Read me\n\nThis is text."), "failed: not a DICOM file");
}

#[test]
fn every_truncation_is_a_refusal() {
    for transfer_syntax in [EXPLICIT, IMPLICIT] {
        let file = slice(transfer_syntax);
        for len in 0..file.len() {
            assert!(
                matches!(events(&file[..len])[..], [Seen::Refused(..)]),
                "{len} bytes of {transfer_syntax}"
            );
        }
    }
}

#[test]
fn a_header_that_breaks_off() {
    let whole = ct_head(EXPLICIT).file(EXPLICIT);
    assert_eq!(
        refusal(&whole[..whole.len() - 3]),
        "failed: the data set ends inside element (0020,0037)"
    );
}

#[test]
fn short_pixel_data() {
    let file = slice(EXPLICIT);
    let reason = "failed: the pixel data of 2 × 3 × 16 bits is truncated: expected 12 bytes, found 10";
    assert_eq!(refusal(&file[..file.len() - 2]), reason);
    let declared = Image::default().ct(EXPLICIT).pixels(&PIXELS[..5]).file(EXPLICIT);
    assert_eq!(refusal(&declared), reason);
}

#[test]
fn absurd_rows_and_columns() {
    let huge = Image {
        rows: 65535,
        columns: 65535,
        ..Image::default()
    };
    assert_eq!(
        refusal(&huge.ct(EXPLICIT).pixels(&PIXELS).file(EXPLICIT)),
        "failed: 65535 × 65535 × 16 bits exceed the limit of 536870912 bytes"
    );
    let long = altered(|s| {
        s.put(0x0028_0010, "UL", &[0xFF; 4])
            .put(0x0028_0011, "UL", &[0xFF; 4])
    });
    assert!(refusal(&long).contains("exceed the limit"));
}

#[test]
fn a_limit_of_the_users() {
    let options = ReadOptions {
        max_slice_bytes: 11,
        ..ReadOptions::default()
    };
    let seen = events_with(&slice(EXPLICIT), &options);
    let [Seen::Refused(_, Refusal::Failed(reason))] = &seen[..] else {
        panic!("seen: {seen:?}")
    };
    assert_eq!(reason.to_string(), "2 × 3 × 16 bits exceed the limit of 11 bytes");
}

#[test]
fn rows_of_zero_or_none() {
    let reason = "failed: Rows and Columns: expected 1 or more, found 0 and 3";
    assert_eq!(refusal(&altered(|s| s.short(0x0028_0010, 0))), reason);
    assert_eq!(refusal(&altered(|s| s.put(0x0028_0010, "US", &[]))), reason);
}

#[test]
fn impossible_bits() {
    let failed = |tag, value| refusal(&altered(|s| s.short(tag, value)));
    assert_eq!(
        failed(0x0028_0100, 12),
        "failed: Bits Allocated: expected 8, 16 or 32, found 12"
    );
    assert_eq!(
        failed(0x0028_0101, 17),
        "failed: Bits Stored: expected 1 to 16, found 17"
    );
    assert_eq!(
        failed(0x0028_0101, 0),
        "failed: Bits Stored: expected 1 to 16, found 0"
    );
    assert_eq!(
        refusal(&altered(|s| s.put(0x0028_0100, "US", &[]))),
        "failed: Bits Allocated is missing"
    );
}

#[test]
fn a_slope_that_is_no_slope() {
    let failed = |slope| refusal(&altered(|s| s.text(0x0028_1053, "DS", slope)));
    assert_eq!(failed("0"), "failed: Rescale Slope is zero");
    assert_eq!(
        failed("nan"),
        "failed: Rescale Slope: expected a finite number, found NaN"
    );
    assert_eq!(
        failed("1e999"),
        "failed: Rescale Slope: expected a finite number, found inf"
    );
    assert_eq!(
        failed("one"),
        "failed: Rescale Slope: expected a number, found other text"
    );
}

#[test]
fn missing_pixel_data() {
    assert_eq!(
        refusal(&Image::default().ct(EXPLICIT).file(EXPLICIT)),
        "failed: the pixel data is missing"
    );
}

#[test]
fn sequences_nested_without_end() {
    let mut set = ct_head(EXPLICIT);
    for _ in 0..100_000 {
        set = set
            .head(0x0040_A730, "SQ", u32::MAX)
            .head(0xFFFE_E000, "", u32::MAX);
    }
    assert_eq!(
        refusal(&set.file(EXPLICIT)),
        "failed: sequences are nested deeper than 64"
    );
}

#[test]
fn a_sequence_of_no_items() {
    let set = ct_head(EXPLICIT)
        .head(0x0040_A730, "SQ", u32::MAX)
        .text(0x0010_0010, "PN", "no item");
    let reason = "failed: the sequence: expected an item, found element (0010,0010)";
    assert_eq!(
        refusal(&Image::default().describe(set).pixels(&PIXELS).file(EXPLICIT)),
        reason
    );
}

#[test]
fn a_length_beyond_the_end() {
    let set = ct_head(EXPLICIT).head(0x0029_1010, "OB", 0x7FFF_FFFF);
    assert_eq!(
        refusal(&set.file(EXPLICIT)),
        "failed: the data set ends inside element (0029,1010)"
    );
}

#[test]
fn a_deflate_bomb() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(&ct_head(EXPLICIT).head(0x0029_1010, "OB", u32::MAX - 1).bytes)
        .unwrap();
    let zeros = vec![0; 1 << 20];
    (0..80).for_each(|_| encoder.write_all(&zeros).unwrap());
    let bomb = DataSet {
        bytes: encoder.finish().unwrap(),
        ..DataSet::new(EXPLICIT)
    }
    .file(DEFLATED);
    assert!(bomb.len() < 1 << 20);
    let options = ReadOptions {
        max_slice_bytes: 1000,
        ..ReadOptions::default()
    };
    let seen = events_with(&bomb, &options);
    let [Seen::Refused(_, Refusal::Failed(reason))] = &seen[..] else {
        panic!("seen: {seen:?}")
    };
    assert_eq!(
        reason.to_string(),
        "the bytes of the deflated data set exceed the limit of 67109864 bytes"
    );
}

#[test]
fn a_broken_deflate_stream() {
    let broken = DataSet {
        bytes: vec![0xFF; 100],
        ..DataSet::new(EXPLICIT)
    }
    .file(DEFLATED);
    assert!(refusal(&broken).starts_with("failed: the deflated data set is corrupt: "));
}

#[test]
fn an_unknown_transfer_syntax() {
    let file = Image::default()
        .ct(EXPLICIT)
        .fragments(&[], &[&[0; 4]])
        .file("1.2.840.10008.1.2.4.102");
    assert_eq!(
        refusal(&file),
        "unsupported: transfer syntax 1.2.840.10008.1.2.4.102 cannot be decoded"
    );
}

#[test]
fn a_transfer_syntax_that_is_no_uid() {
    let file = Image::default()
        .ct(EXPLICIT)
        .fragments(&[], &[&[0; 4]])
        .file("1.2.Doe^John");
    assert_eq!(refusal(&file), "failed: the Transfer Syntax UID is not a UID");
}

#[test]
fn what_the_standard_allows_and_is_not_implemented_is_no_fault() {
    let lut = DataSet::new(EXPLICIT).text(0x0028_3004, "LO", "HU");
    let file = altered(|s| s.sequence(0x0028_3000, std::slice::from_ref(&lut)));
    assert_eq!(
        refusal(&file),
        "unsupported: a Modality LUT Sequence in place of Rescale Slope and Intercept"
    );
    let file = altered(|s| s.short(0x0028_0100, 64));
    assert_eq!(refusal(&file), "unsupported: Bits Allocated 64");
}

#[test]
fn long_texts_are_cut() {
    let mut long = DataSet::new(IMPLICIT);
    long = long
        .text(0x0008_0070, "LO", &"A".repeat(1 << 20))
        .text(0x0020_000E, "UI", &"1.2.840".repeat(20));
    let mut set = Image::default().ct(IMPLICIT);
    set.bytes.extend(long.bytes);
    let file = set.pixels(&PIXELS).file(IMPLICIT);
    let info = info(&file);
    assert_eq!(info.manufacturer, "A".repeat(1024));
    assert_eq!(info.series_instance_uid.len(), 64);
}

#[test]
fn encapsulated_pixels_without_items() {
    let file = Image::default().ct(RLE).put(PIXEL_DATA, "OB", &[1; 64]).file(RLE);
    assert_eq!(
        refusal(&file),
        "failed: the compressed pixel data: expected items, found none"
    );
}

#[test]
fn encapsulated_pixels_without_fragments() {
    let file = Image::default().ct(RLE).fragments(&[], &[]).file(RLE);
    assert_eq!(
        refusal(&file),
        "failed: the pixel data is truncated: expected 1 frame, found 0"
    );
}

#[test]
fn a_fragment_longer_than_the_file() {
    let mut file = Image::default()
        .ct(RLE)
        .fragments(&[], &[&rle(&PIXELS)])
        .file(RLE);
    file.truncate(file.len() - 12);
    assert!(refusal(&file).starts_with("failed: RLE segment 1"));
}

#[test]
fn rle_that_is_none() {
    let failed = |stream: &[u8]| refusal(&Image::default().ct(RLE).fragments(&[], &[stream]).file(RLE));
    assert_eq!(
        failed(&[0; 10]),
        "failed: the RLE header is truncated: expected 64 bytes, found 10"
    );
    assert_eq!(
        failed(&[0; 70]),
        "failed: the RLE segments of 2-byte pixels: expected 2, found 0"
    );
    let mut stream = rle(&PIXELS);
    stream[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        failed(&stream),
        format!(
            "failed: RLE segment 0: expected an offset within {} bytes, found {}",
            stream.len(),
            u32::MAX
        )
    );
}

#[test]
fn streams_of_another_size_are_not_decoded() {
    let image = Image {
        rows: 3,
        columns: 3,
        ..Image::default()
    };
    let failed = |syntax, stream: &[u8]| refusal(&image.ct(syntax).fragments(&[], &[stream]).file(syntax));
    let jpeg = b"\xFF\xD8\xFF\xC3\x00\x0B\x10\xFF\xFF\xFF\xFF\x01\x01\x11\x00\xFF";
    let reason = "stream: expected 3 × 3, found 65535 × 65535";
    let size = "failed: the size of the";
    assert_eq!(failed(JPEG_LOSSLESS, jpeg), format!("{size} JPEG {reason}"));
    assert_eq!(failed(JPEG_LS, jpeg), format!("{size} JPEG-LS {reason}"));
    let mut jpeg_2000 = b"\xFF\x4F\xFF\x51\x00\x29\x00\x00".to_vec();
    jpeg_2000.extend(
        [65535u32, 65535, 0, 0, 65535, 65535, 0, 0]
            .into_iter()
            .flat_map(u32::to_be_bytes),
    );
    jpeg_2000.extend([0, 1, 15, 1, 1, 0]);
    assert_eq!(
        failed(JPEG_2000, &jpeg_2000),
        format!("{size} JPEG 2000 {reason}")
    );
}

#[test]
fn streams_of_noise_are_refused() {
    let noise: Vec<u8> = (0..512u32).map(|n| ((n * n * 31) >> 3) as u8).collect();
    for syntax in [RLE, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, JPEG_XL] {
        let file = Image::default().ct(syntax).fragments(&[], &[&noise]).file(syntax);
        assert!(refusal(&file).starts_with("failed: "), "{syntax}");
    }
}

#[test]
fn nothing_of_the_patient_gets_into_an_event() {
    let set = DataSet::new(EXPLICIT)
        .text(0x0008_0016, "UI", CT_IMAGE)
        .text(0x0008_0060, "CS", "CT")
        .text(0x0010_0010, "PN", "Secret^Name")
        .text(0x0010_0020, "LO", "Secret")
        .text(0x0010_0030, "DA", "19700101")
        .head(0x0010_4000, "LT", 500);
    let seen = format!("{:?}", events(&set.file(EXPLICIT)));
    assert!(!seen.contains("Secret") && !seen.contains("1970"), "{seen}");
}
