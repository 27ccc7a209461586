//! Compressed frames: small streams, and the ways they lie in fragments.

use zune_core::bit_depth::BitDepth;
use zune_core::colorspace::ColorSpace;
use zune_core::options::EncoderOptions;
use zune_jpegxl::JxlSimpleEncoder;

use super::build::{ENCAPSULATED, EXPLICIT, Image, JPEG_2000, JPEG_LS, JPEG_XL, PIXELS, RLE, rle};
use super::charls::{STREAMS, decoded};
use super::{HU, hu, refusal};

pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

/// Stored values of an image of which `stream` is the only frame.
pub(super) fn stored(image: Image, transfer_syntax: &str, stream: &[u8]) -> Vec<f64> {
    let mut padded = stream.to_vec();
    padded.resize(stream.len().next_multiple_of(2), 0);
    let file = image
        .ct(transfer_syntax)
        .fragments(&[], &[&padded])
        .file(transfer_syntax);
    hu(&file).into_iter().map(|hu| (hu + 1024.0) / 2.0).collect()
}

#[test]
fn rle_is_unpacked() {
    let file = Image::default()
        .ct(RLE)
        .fragments(&[0], &[&rle(&PIXELS)])
        .file(RLE);
    assert_eq!(hu(&file), HU);
}

#[test]
fn a_frame_in_several_fragments_is_joined() {
    let stream = rle(&PIXELS);
    let file = Image::default()
        .ct(RLE)
        .fragments(&[], &[&stream[..20], &stream[20..]])
        .file(RLE);
    assert_eq!(hu(&file), HU);
}

#[test]
fn a_forgotten_sequence_delimiter_is_forgiven() {
    let mut file = Image::default()
        .ct(RLE)
        .fragments(&[], &[&rle(&PIXELS)])
        .file(RLE);
    file.truncate(file.len() - 8);
    assert_eq!(hu(&file), HU);
}

#[test]
fn jpeg_2000_that_is_not_implemented_is_left_to_another_reader_and_broken_streams_are_not() {
    let refused = |stream: &[u8]| {
        refusal(
            &JPEG_2000_IMAGE
                .ct(JPEG_2000)
                .fragments(&[], &[stream])
                .file(JPEG_2000),
        )
    };
    let stream = bytes_of(SIGNED_JPEG_2000);
    let at = stream
        .windows(2)
        .position(|marker| marker == [0xFF, 0x52])
        .unwrap();
    let mut packed = stream.clone();
    packed.splice(at..at, [0xFF, 0x60, 0, 3, 0]);
    assert_eq!(
        refused(&packed),
        "unsupported: a JPEG 2000 stream with packed packet headers"
    );
    let half = &stream[..stream.len() / 4 * 2];
    assert_eq!(refused(half), "failed: the codestream is truncated");
}

#[test]
fn the_example_of_the_jpeg_ls_standard_is_read() {
    // ISO/IEC 14495-1 annex H.3.
    let stream = bytes_of(
        "ffd8fff7000b080004000401011100ffda00080101000000 00 c000006c80208e01c0000057400000 6ee6000001bc1800\
         0005d80000 9160ffd9",
    );
    let image = Image {
        rows: 4,
        columns: 4,
        allocated: 8,
        stored: 8,
        signed: false,
        ..Image::default()
    };
    let expected = [
        0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145,
    ]
    .map(f64::from);
    assert_eq!(stored(image, JPEG_LS, &stream), expected);
}

/// Encoded by pyjpegls (CharLS).
const JPEG_LS_IMAGE: Image = Image {
    rows: 4,
    columns: 5,
    allocated: 16,
    stored: 12,
    signed: false,
    frames: None,
};

#[test]
fn lossless_jpeg_ls_of_twelve_bits_is_read() {
    let stream = bytes_of(
        "ffd8fff7000b0c0004000501011100ffda000801010000000092524000000007c8124ec94942cc03b023c0028250b476485c0238ffd9",
    );
    let expected = [
        0, 37, 74, 2011, 2048, 91, 128, 165, 1902, 1939, 182, 19, 56, 1993, 2030, 73, 110, 147, 2084, 1921,
    ];
    assert_eq!(stored(JPEG_LS_IMAGE, JPEG_LS, &stream), expected.map(f64::from));
    // JPEG-LS knows no sign: with Pixel Representation 1 the highest of the stream's bits is one.
    let signed = Image {
        signed: true,
        ..JPEG_LS_IMAGE
    };
    let with_sign = expected.map(|v| if v >= 2048 { v - 4096 } else { v });
    assert_eq!(stored(signed, JPEG_LS, &stream), with_sign.map(f64::from));
}

#[test]
fn near_lossless_jpeg_ls_is_read() {
    let stream = bytes_of(
        "ffd8fff7000b0c0004000501011100ffda0008010100030000b3b000000000626cb5ae3b0681b118e10694e03cffd9",
    );
    let expected = [
        0, 35, 77, 2010, 2045, 91, 126, 168, 1905, 1940, 182, 22, 57, 1990, 2032, 70, 113, 149, 2087, 1920,
    ];
    assert_eq!(stored(JPEG_LS_IMAGE, JPEG_LS, &stream), expected.map(f64::from));
}

/// `30 column − 20 row`, by pylibjpeg-openjpeg: 12 bits, signed.
const SIGNED_JPEG_2000: &str = "
    ff4fff5100290000000000200000002000000000000000000000002000000020000000000000000000018b0101ff52000c000000
    01000504040001ff5c00134060686870686870686870686870686870ff640025000143726561746564206279204f70656e4a5045
    472076657273696f6e20322e352e32ff90000a0000000000720001ff93c0fb40800333c3f60383f30200047f7f05d9c1f98240fc
    01000d03004f0c175a7fc0fc01a03ed050221a105cacaf00cfb3cc2fc07da1300fa82036a199c9ee8037ff7f3e62a29a195202ef
    c01f389803e7125fa7c733f8c2d8060f9d96a9003e1eb8483fffd9";

const JPEG_2000_IMAGE: Image = Image {
    rows: 32,
    columns: 32,
    allocated: 16,
    stored: 12,
    signed: true,
    frames: None,
};

#[test]
fn signed_jpeg_2000_is_read() {
    let expected: Vec<f64> = (0..1024)
        .map(|at| f64::from(at % 32 * 30 - at / 32 * 20))
        .collect();
    assert_eq!(
        stored(JPEG_2000_IMAGE, JPEG_2000, &bytes_of(SIGNED_JPEG_2000)),
        expected
    );
}

#[test]
fn jpeg_2000_in_the_boxes_of_a_file_is_found() {
    let mut boxed = b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\0jp2c".to_vec();
    boxed.extend(bytes_of(SIGNED_JPEG_2000));
    let found = stored(JPEG_2000_IMAGE, JPEG_2000, &boxed);
    assert_eq!(found[..3], [0.0, 30.0, 60.0]);
}

#[test]
fn where_jpeg_2000_and_the_data_set_disagree_on_the_sign_the_bits_decide() {
    let unsigned = Image {
        signed: false,
        ..JPEG_2000_IMAGE
    };
    let found = stored(unsigned, JPEG_2000, &bytes_of(SIGNED_JPEG_2000));
    let expected = (0..1024).map(|at| f64::from((at % 32 * 30 - at / 32 * 20) & 0xFFF));
    assert!(found.into_iter().eq(expected));
}

#[test]
fn jpeg_xl_keeps_its_values() {
    let values: Vec<u16> = (0..24 * 16).map(|at| (at * 37 % 4096) as u16).collect();
    let image = Image {
        rows: 16,
        columns: 24,
        stored: 16,
        signed: false,
        ..Image::default()
    };
    let options = EncoderOptions::new(24, 16, ColorSpace::Luma, BitDepth::Sixteen);
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    let mut stream = Vec::new();
    JxlSimpleEncoder::new(&bytes, options)
        .encode(&mut stream)
        .unwrap();
    assert_eq!(
        stored(image, JPEG_XL, &stream),
        values.iter().map(|&v| v.into()).collect::<Vec<f64>>()
    );
}

#[test]
fn compressed_pixels_in_a_plain_transfer_syntax_are_refused() {
    let file = Image::default()
        .ct(EXPLICIT)
        .fragments(&[], &[&rle(&PIXELS)])
        .file(EXPLICIT);
    let reason = "failed: the length of the uncompressed pixel data: expected a number, found none";
    assert_eq!(refusal(&file), reason);
}

#[test]
fn uncompressed_frames_may_be_encapsulated() {
    let bytes: Vec<u8> = PIXELS.iter().flat_map(|v| v.to_le_bytes()).collect();
    let encapsulated = |bytes: &[u8]| Image::default().ct(EXPLICIT).fragments(&[], &[bytes]);
    assert_eq!(hu(&encapsulated(&bytes).file(ENCAPSULATED)), HU);
    let short = encapsulated(&bytes[..10]).file(ENCAPSULATED);
    assert_eq!(
        refusal(&short),
        "failed: frame 0 of 2 × 3 × 16 bits is truncated: expected 12 bytes, found 10"
    );
}

#[test]
fn jpeg_ls_streams_of_charls_are_decoded() {
    for known in &STREAMS {
        let values = decoded(known.stream, known.rows, known.columns, known.bits);
        assert_eq!(values, known.values(), "{known:?}");
    }
}
