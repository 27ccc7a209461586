//! JPEG frames of all processes: with loss, of 8 and 12 bits, and without.

use super::build::{Image, JPEG_EXTENDED, JPEG_LOSSLESS};
use super::encapsulated::{bytes_of, stored};
use super::jpeg_encoder::{Lossless, lossless, twelve_bit_blocks};
use super::refusal;

#[test]
fn lossless_jpeg_is_read_with_every_predictor() {
    let mut seed = 7u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as u16
    };
    for predictor in 1..=7 {
        for (precision, restart_rows, transform) in [(16, 0, 0), (12, 2, 0), (16, 3, 2), (8, 0, 0)] {
            let image = Image {
                rows: 7,
                columns: 9,
                stored: precision,
                signed: false,
                ..Image::default()
            };
            let values: Vec<u16> = (0..63)
                .map(|_| random() >> (16 - precision) >> transform << transform)
                .collect();
            let shape = Lossless {
                columns: 9,
                precision,
                predictor,
                restart_rows,
                transform,
            };
            let expected: Vec<f64> = values.iter().map(|&v| v.into()).collect();
            assert_eq!(
                stored(image, JPEG_LOSSLESS, &lossless(&values, shape)),
                expected,
                "predictor {predictor}"
            );
        }
    }
}

#[test]
fn the_sign_of_lossless_jpeg_is_at_bits_stored() {
    let image = Image {
        rows: 1,
        columns: 3,
        stored: 12,
        ..Image::default()
    };
    let shape = Lossless {
        columns: 3,
        precision: 12,
        predictor: 1,
        restart_rows: 0,
        transform: 0,
    };
    assert_eq!(
        stored(image, JPEG_LOSSLESS, &lossless(&[1, 0xFFF, 0x800], shape)),
        [1.0, -1.0, -2048.0]
    );
}

#[test]
fn twelve_bit_jpeg_is_read() {
    let image = Image {
        rows: 9,
        columns: 16,
        stored: 12,
        signed: false,
        ..Image::default()
    };
    let found = stored(
        image,
        JPEG_EXTENDED,
        &twelve_bit_blocks(9, 16, &[100, -250, 0, 50]),
    );
    for (at, value) in found.into_iter().enumerate() {
        let block = [[2148.0, 1898.0], [1898.0, 1948.0]][at / 16 / 8][at % 16 / 8];
        assert_eq!(value, block, "pixel {at}");
    }
}

#[test]
fn lossy_values_above_bits_stored_stay() {
    let image = Image {
        rows: 8,
        columns: 8,
        stored: 10,
        signed: false,
        ..Image::default()
    };
    let stream = twelve_bit_blocks(8, 8, &[1024 - 2048]);
    assert_eq!(stored(image, JPEG_EXTENDED, &stream), [1024.0; 64]);
}

#[test]
fn eight_bit_jpeg_gives_the_pixels_of_libjpeg() {
    // By Pillow (libjpeg-turbo), which also gave the values.
    let stream = bytes_of(
        "ffd8ffe000104a46494600010100000100010000ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c
         0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc0000b080009000b01011100ffc400150001
         0100000000000000000000000000000806ffc4002110000102040700000000000000000000000003070523245133344142437281ffda
         0008010100003f002935ad6e0c9b6824e1ad6d0a3276d8986b787c1270dc8a3d4fffd9",
    );
    let image = Image {
        rows: 9,
        columns: 11,
        allocated: 8,
        stored: 8,
        signed: false,
        ..Image::default()
    };
    let expected = [
        [0, 9, 18, 26, 37, 45, 54, 63, 72, 81, 89],
        [9, 18, 27, 35, 46, 54, 63, 72, 81, 90, 98],
        [18, 28, 37, 45, 55, 63, 72, 82, 90, 100, 108],
        [27, 36, 45, 53, 64, 72, 81, 90, 99, 108, 116],
        [36, 46, 54, 63, 73, 81, 90, 100, 108, 118, 126],
        [44, 54, 63, 71, 81, 90, 98, 108, 117, 126, 134],
        [54, 64, 72, 81, 91, 99, 108, 118, 126, 136, 144],
        [63, 73, 81, 90, 100, 108, 117, 127, 135, 144, 153],
        [72, 82, 90, 99, 109, 117, 126, 135, 144, 153, 161],
    ];
    assert_eq!(
        stored(image, JPEG_EXTENDED, &stream),
        expected
            .as_flattened()
            .iter()
            .map(|&v| v.into())
            .collect::<Vec<f64>>()
    );
}

#[test]
fn progressive_jpeg_gives_the_pixels_of_libjpeg() {
    // Stream and values are those of the pictures' tests.
    let image = Image {
        rows: 13,
        columns: 21,
        allocated: 8,
        stored: 8,
        signed: false,
        ..Image::default()
    };
    let stream = include_bytes!("../plain_files/jpeg/gray_progressive.jpg");
    let expected = include_bytes!("../plain_files/jpeg/gray_progressive.gray");
    assert_eq!(
        stored(image, JPEG_EXTENDED, stream),
        expected.map(f64::from).to_vec()
    );
}

#[test]
fn sampling_factors_of_one_component_mean_nothing() {
    // A.2.2: a scan of one component has its blocks row by row, whatever the factors.
    let image = Image {
        rows: 13,
        columns: 21,
        allocated: 8,
        stored: 8,
        signed: false,
        ..Image::default()
    };
    let mut stream = include_bytes!("../plain_files/jpeg/gray.jpg").to_vec();
    let expected = stored(image, JPEG_EXTENDED, &stream);
    let frame = stream.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    assert_eq!(std::mem::replace(&mut stream[frame + 11], 0x22), 0x11);
    assert_eq!(stored(image, JPEG_EXTENDED, &stream), expected);
    let twelve = Image {
        rows: 9,
        columns: 16,
        allocated: 16,
        stored: 12,
        ..image
    };
    let mut stream = twelve_bit_blocks(9, 16, &[100, -250, 0, 50]);
    let expected = stored(twelve, JPEG_EXTENDED, &stream);
    let frame = stream.windows(2).position(|pair| pair == [0xFF, 0xC1]).unwrap();
    assert_eq!(std::mem::replace(&mut stream[frame + 11], 0x22), 0x11);
    assert_eq!(stored(twelve, JPEG_EXTENDED, &stream), expected);
}

#[test]
fn jpeg_of_a_process_that_is_not_implemented_is_left_to_another_reader() {
    let image = Image {
        rows: 9,
        columns: 16,
        stored: 12,
        signed: false,
        ..Image::default()
    };
    let mut stream = twelve_bit_blocks(9, 16, &[100, -250, 0, 50]);
    let frame = stream.windows(2).position(|pair| pair == [0xFF, 0xC1]).unwrap();
    stream[frame + 1] = 0xC2;
    let file = image
        .ct(JPEG_EXTENDED)
        .fragments(&[], &[&stream])
        .file(JPEG_EXTENDED);
    assert_eq!(
        refusal(&file),
        "unsupported: a JPEG stream of process SOF2 with 12 bits"
    );
}
