//! JPEG against what Pillow read from the same files (`jpeg/make.py`).

use crate::seen::{Seen, read_picture};

/// Asserts for each file that it gives the gray values that Pillow gave.
macro_rules! equal_pillow {
    ($($name:ident: $rows:literal, $columns:literal;)*) => {$(
        #[test]
        fn $name() {
            let slice = read_picture(include_bytes!(concat!("jpeg/", stringify!($name), ".jpg")));
            let expected = include_bytes!(concat!("jpeg/", stringify!($name), ".gray"));
            assert_eq!(slice.gray(), ($rows, $columns, expected.to_vec()));
        }
    )*};
}

equal_pillow! {
    gray: 13, 21;
    gray_progressive: 13, 21;
    color_444: 13, 21;
    color_422: 13, 21;
    color_420: 13, 21;
    color_420_progressive: 13, 21;
    color_420_restart: 13, 21;
    color_rgb: 13, 21;
    inks: 13, 21;
    color_420_one_pixel: 1, 1;
}

const COLOR: &[u8] = include_bytes!("jpeg/color_420.jpg");
const INKS: &[u8] = include_bytes!("jpeg/inks.jpg");

/// Where the start-of-frame segment's height field is.
fn height_field(file: &[u8]) -> usize {
    file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap() + 5
}

#[test]
fn a_truncated_file_fails() {
    read_picture(&COLOR[..COLOR.len() - 60]).assert_failed("truncated");
}

#[test]
fn every_shorter_file_is_read_or_fails() {
    for length in 0..COLOR.len() {
        let seen = read_picture(&COLOR[..length]);
        // Only the end marker may be missing.
        assert!(
            matches!(seen, Seen::Failed(_)) || length + 4 > COLOR.len(),
            "{length}: {seen:?}"
        );
    }
}

#[test]
fn a_header_that_promises_too_many_pixels_fails() {
    let mut file = COLOR.to_vec();
    let height = height_field(&file);
    file[height..height + 4].copy_from_slice(&[0xff, 0x00, 0xff, 0x00]);
    read_picture(&file).assert_failed("exceed the limit");
}

#[test]
fn subsampled_inks_fail() {
    let mut file = INKS.to_vec();
    let first_component = height_field(&file) + 5;
    file[first_component + 1] = 0x22;
    read_picture(&file).assert_failed("CMYK JPEG with subsampled colors is not supported");
}

#[test]
fn a_jpeg_of_12_bits_fails() {
    let mut file = COLOR.to_vec();
    // A frame of more than 8 bits is an extended one.
    let height = height_field(&file);
    file[height - 4] = 0xc1;
    file[height - 1] = 12;
    read_picture(&file).assert_failed("found 12 bits");
}
