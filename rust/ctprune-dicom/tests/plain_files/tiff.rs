//! TIFF built with the `tiff` crate's encoder and by hand.

use std::io::Cursor;

use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, TiffEncoder, colortype};

use crate::seen::{Seen, read_image, read_picture};

const ROWS: u32 = 11;
const COLUMNS: u32 = 7;

/// A file of one picture.
fn file<C: colortype::ColorType>(compression: Compression, data: &[C::Inner]) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut bytes = Vec::new();
    let mut encoder = TiffEncoder::new(Cursor::new(&mut bytes))
        .unwrap()
        .with_compression(compression);
    encoder.write_image::<C>(COLUMNS, ROWS, data).unwrap();
    bytes
}

fn compressions() -> [Compression; 4] {
    [
        Compression::Uncompressed,
        Compression::Lzw,
        Compression::Deflate(DeflateLevel::Fast),
        Compression::Packbits,
    ]
}

/// `f` of each index below the number of pixels, times `samples`.
fn fill<T>(samples: u32, f: impl Fn(u32) -> T) -> Vec<T> {
    (0..ROWS * COLUMNS * samples).map(f).collect()
}

#[test]
fn gray_of_8_bits_in_every_compression() {
    let pixels = fill(1, |i| (i * 37) as u8);
    for compression in compressions() {
        let slice = read_picture(&file::<colortype::Gray8>(compression, &pixels));
        assert_eq!(slice.gray(), (ROWS, COLUMNS, pixels.clone()));
    }
}

/// Asserts for each type that it keeps its values in every compression.
macro_rules! keep_their_values {
    ($($name:ident: $color:ident, $stored:literal, $value:expr;)*) => {$(
        #[test]
        fn $name() {
            let pixels = fill(1, $value);
            let expected: Vec<f64> = pixels.iter().map(|&value| value.into()).collect();
            for compression in compressions() {
                let slice = read_picture(&file::<colortype::$color>(compression, &pixels));
                assert_eq!(slice.stored(), ($stored, &expected[..]));
            }
        }
    )*};
}

keep_their_values! {
    signed_8_bits: GrayI8, "i8", |i| (i * 7) as i8;
    unsigned_16_bits: Gray16, "u16", |i| (i * 9973) as u16;
    signed_16_bits: GrayI16, "i16", |i| (i * 9973) as i16;
    unsigned_32_bits: Gray32, "u32", |i| i.wrapping_mul(99_999_989);
    signed_32_bits: GrayI32, "i32", |i| i.wrapping_mul(99_999_989) as i32;
    floats: Gray32Float, "f32", |i| i as f32 * -0.37;
    doubles: Gray64Float, "f64", |i| f64::from(i) * -0.37;
}

#[test]
fn colors_become_pillows_luma() {
    let pixels = fill(3, |i| (i * 37) as u8);
    let luma = |p: &[u8]| {
        ((19595 * u32::from(p[0]) + 38470 * u32::from(p[1]) + 7471 * u32::from(p[2]) + 32768) >> 16) as u8
    };
    let expected: Vec<u8> = pixels.chunks(3).map(luma).collect();
    let slice = read_picture(&file::<colortype::RGB8>(Compression::Lzw, &pixels));
    assert_eq!(slice.gray(), (ROWS, COLUMNS, expected.clone()));
    // The low byte does not count.
    let deep: Vec<u16> = pixels.iter().map(|&value| u16::from(value) << 8 | 0x5a).collect();
    let slice = read_picture(&file::<colortype::RGB16>(Compression::Lzw, &deep));
    assert_eq!(slice.gray(), (ROWS, COLUMNS, expected.clone()));
    let with_alpha: Vec<u8> = pixels.chunks(3).flat_map(|p| [p[0], p[1], p[2], 9]).collect();
    let slice = read_picture(&file::<colortype::RGBA8>(Compression::Lzw, &with_alpha));
    assert_eq!(slice.gray(), (ROWS, COLUMNS, expected));
}

/// A page of 8-bit and one of 16-bit gray.
pub fn two_pages() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = TiffEncoder::new(Cursor::new(&mut bytes)).unwrap();
    encoder.write_image::<colortype::Gray8>(2, 1, &[1, 2]).unwrap();
    encoder
        .write_image::<colortype::Gray16>(1, 3, &[3, 4, 5])
        .unwrap();
    bytes
}

#[test]
fn each_page_is_a_slice() {
    let seen = read_image(&two_pages());
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].info().frame, seen[0].gray()), (0, (1, 2, vec![1, 2])));
    assert_eq!(
        (seen[1].info().frame, seen[1].stored()),
        (1, ("u16", &[3.0, 4.0, 5.0][..]))
    );
}

/// A little-endian TIFF of one strip by hand; `tags` are number, type (3 short, 4 long) and value, in order.
fn by_hand(tags: &[(u16, u16, u32)], data: &[u8]) -> Vec<u8> {
    let strip = (273, 4, 8);
    let length = (279, 4, data.len() as u32);
    let mut tags = [tags, &[strip, length]].concat();
    tags.sort_unstable();
    let mut bytes = b"II*\0".to_vec();
    bytes.extend((8 + data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, value) in tags {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

/// Width, height, bits, photometric interpretation, samples a pixel.
fn tags(width: u32, height: u32, bits: u32, photometric: u32, samples: u32) -> Vec<(u16, u16, u32)> {
    vec![
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits),
        (262, 3, photometric),
        (277, 3, samples),
    ]
}

#[test]
fn white_is_zero_is_inverted_in_8_bits_only() {
    let slice = read_picture(&by_hand(&tags(2, 1, 8, 0, 1), &[0, 200]));
    assert_eq!(slice.gray().2, [255, 55]);
    let slice = read_picture(&by_hand(&tags(2, 1, 16, 0, 1), &[1, 2, 3, 4]));
    assert_eq!(slice.stored().1, [513.0, 1027.0]);
}

#[test]
fn small_samples_are_unpacked() {
    let slice = read_picture(&by_hand(&tags(3, 2, 4, 1, 1), &[0x0f, 0x80, 0x12, 0x30]));
    assert_eq!(slice.gray(), (2, 3, vec![0, 255, 136, 17, 34, 51]));
    let slice = read_picture(&by_hand(&tags(3, 1, 1, 1, 1), &[0b1010_0000]));
    assert_eq!(slice.gray().2, [255, 0, 255]);
}

#[test]
fn alpha_is_ignored_and_its_product_undone() {
    let two_samples = [tags(2, 1, 8, 1, 2), vec![(338, 3, 2)]].concat();
    assert_eq!(
        read_picture(&by_hand(&two_samples, &[5, 0, 6, 9])).gray().2,
        [5, 6]
    );
    let multiplied = [tags(3, 1, 8, 2, 4), vec![(338, 3, 1)]].concat();
    let pixels = [50, 50, 50, 100, 7, 7, 7, 0, 9, 9, 9, 255];
    assert_eq!(read_picture(&by_hand(&multiplied, &pixels)).gray().2, [127, 0, 9]);
}

#[test]
fn a_thumbnail_page_is_skipped() {
    let file = by_hand(&[tags(2, 1, 8, 1, 1), vec![(254, 4, 1)]].concat(), &[1, 2]);
    assert_eq!(
        read_picture(&file),
        Seen::Skipped("thumbnail or mask in a TIFF".into())
    );
}

#[test]
fn unsupported_kinds_fail_with_what_was_found() {
    read_picture(&by_hand(&tags(2, 1, 8, 3, 1), &[1, 2])).assert_failed("RGBPalette");
    let planes = [tags(1, 1, 8, 2, 3), vec![(284, 3, 2)]].concat();
    assert!(matches!(
        read_picture(&by_hand(&planes, &[1, 2, 3])),
        Seen::Failed(_)
    ));
    read_picture(&by_hand(&tags(1, 1, 64, 1, 1), &[0; 8])).assert_failed("64-bit unsigned integers");
    let surplus = [tags(1, 1, 8, 2, 4), vec![(338, 3, 0)]].concat();
    read_picture(&by_hand(&surplus, &[1, 2, 3, 4])).assert_failed("4 samples for RGB(8)");
    let jpeg = [tags(2, 1, 8, 1, 1), vec![(259, 3, 7)]].concat();
    read_picture(&by_hand(&jpeg, &[1, 2])).assert_failed("compression method");
}

#[test]
fn a_truncated_file_fails() {
    let short = by_hand(&[tags(100, 100, 8, 1, 1)].concat(), &[1, 2]);
    read_picture(&short).assert_failed("truncated");
    let whole = file::<colortype::Gray8>(Compression::Lzw, &fill(1, |i| i as u8));
    for length in 4..whole.len() {
        assert!(
            read_image(&whole[..length])
                .iter()
                .all(|seen| matches!(seen, Seen::Failed(_))),
            "{length}"
        );
    }
}

#[test]
fn headers_that_promise_too_many_pixels_fail() {
    read_picture(&by_hand(&tags(1 << 31, 1 << 31, 8, 1, 1), &[1])).assert_failed("exceed the limit");
    let tile = vec![
        (256, 4, 1),
        (257, 4, 1),
        (258, 3, 8),
        (262, 3, 1),
        (322, 4, 1 << 31),
        (323, 4, 16),
    ];
    let mut file = by_hand(&tile, &[1]);
    // Strip offsets and lengths become those of tiles.
    for tag in [273_u16, 279] {
        let at = file
            .windows(4)
            .position(|w| w == [tag.to_le_bytes(), 4_u16.to_le_bytes()].concat())
            .unwrap();
        file[at..at + 2].copy_from_slice(&(if tag == 273 { 324_u16 } else { 325 }).to_le_bytes());
    }
    assert!(matches!(read_picture(&file), Seen::Failed(_)));
}
