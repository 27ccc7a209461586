//! PNG of every color type and depth, built with the `png` crate and by hand.

use png::{BitDepth, ColorType};

use crate::seen::{Seen, read_picture};

/// A file of one picture; `data` are its rows as PNG stores them.
fn file(color: ColorType, depth: BitDepth, columns: u32, rows: u32, palette: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette.to_vec());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    bytes
}

/// An 8-bit gray picture, all white.
pub fn white(rows: usize, columns: usize) -> Vec<u8> {
    let pixels = vec![255; rows * columns];
    file(
        ColorType::Grayscale,
        BitDepth::Eight,
        columns as u32,
        rows as u32,
        &[],
        &pixels,
    )
}

fn gray_of(color: ColorType, depth: BitDepth, columns: u32, data: &[u8]) -> Vec<u8> {
    read_picture(&file(color, depth, columns, 1, &[], data)).gray().2
}

#[test]
fn gray_of_every_depth() {
    assert_eq!(
        gray_of(ColorType::Grayscale, BitDepth::One, 3, &[0b1010_0000]),
        [255, 0, 255]
    );
    assert_eq!(
        gray_of(ColorType::Grayscale, BitDepth::Two, 4, &[0b0001_1011]),
        [0, 85, 170, 255]
    );
    assert_eq!(
        gray_of(ColorType::Grayscale, BitDepth::Four, 3, &[0x0f, 0x80]),
        [0, 255, 136]
    );
    assert_eq!(
        gray_of(ColorType::Grayscale, BitDepth::Eight, 2, &[7, 200]),
        [7, 200]
    );
}

#[test]
fn gray_of_16_bits_keeps_its_values() {
    let plain = file(
        ColorType::Grayscale,
        BitDepth::Sixteen,
        2,
        1,
        &[],
        &[1, 2, 255, 254],
    );
    assert_eq!(read_picture(&plain).stored(), ("u16", &[258.0, 65534.0][..]));
    let alpha = [1, 2, 9, 9, 255, 254, 9, 9];
    let with_alpha = file(ColorType::GrayscaleAlpha, BitDepth::Sixteen, 2, 1, &[], &alpha);
    assert_eq!(read_picture(&with_alpha), read_picture(&plain));
}

#[test]
fn colors_become_pillows_luma_and_alpha_is_ignored() {
    // Pillow: 76, 150, 29 for pure red, green, blue.
    let pure = [255, 0, 0, 0, 255, 0, 0, 0, 255];
    assert_eq!(gray_of(ColorType::Rgb, BitDepth::Eight, 3, &pure), [76, 150, 29]);
    assert_eq!(
        gray_of(
            ColorType::Rgba,
            BitDepth::Eight,
            2,
            &[255, 0, 0, 0, 0, 255, 0, 128]
        ),
        [76, 150]
    );
    assert_eq!(
        gray_of(ColorType::GrayscaleAlpha, BitDepth::Eight, 2, &[5, 0, 6, 255]),
        [5, 6]
    );
    // The low bytes, 99, do not count.
    let deep = [255, 99, 0, 99, 0, 99];
    assert_eq!(gray_of(ColorType::Rgb, BitDepth::Sixteen, 1, &deep), [76]);
    let deep = [255, 99, 0, 99, 0, 99, 99, 99];
    assert_eq!(gray_of(ColorType::Rgba, BitDepth::Sixteen, 1, &deep), [76]);
}

#[test]
fn palettes_are_expanded() {
    let palette = [255, 0, 0, 0, 255, 0];
    let eight = file(ColorType::Indexed, BitDepth::Eight, 3, 1, &palette, &[0, 1, 9]);
    assert_eq!(
        read_picture(&eight).gray().2,
        [76, 150, 0],
        "an index beyond the palette is black"
    );
    let one = file(ColorType::Indexed, BitDepth::One, 3, 1, &palette, &[0b0110_0000]);
    assert_eq!(read_picture(&one).gray().2, [76, 150, 150]);
}

/// A PNG by hand: the encoder writes no interlaced ones.
fn interlaced_2x2(depth: u8, scanlines: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [2_u32.to_be_bytes(), 2_u32.to_be_bytes()].concat();
    header.extend([depth, 0, 0, 0, 1]);
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut deflated, scanlines).unwrap();
    for (name, data) in [
        (b"IHDR", header),
        (b"IDAT", deflated.finish().unwrap()),
        (b"IEND", vec![]),
    ] {
        bytes.extend((data.len() as u32).to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(name);
        crc.update(&data);
        bytes.extend(name);
        bytes.extend(&data);
        bytes.extend(crc.sum().to_be_bytes());
    }
    bytes
}

#[test]
fn interlaced_small_samples_do_not_mix_with_the_picture_before() {
    // Of 2 × 2 pixels, pass 1 holds (0, 0), pass 6 (0, 1), pass 7 the second row; each scanline starts with its filter.
    let one_bit = interlaced_2x2(1, &[0, 0b1000_0000, 0, 0, 0, 0b0100_0000]);
    assert_eq!(read_picture(&one_bit).gray(), (2, 2, vec![255, 0, 0, 255]));
    let eight_bits = interlaced_2x2(8, &[0, 10, 0, 20, 0, 30, 40]);
    assert_eq!(read_picture(&eight_bits).gray(), (2, 2, vec![10, 20, 30, 40]));
}

#[test]
fn a_truncated_file_fails() {
    let file = white(9, 9);
    read_picture(&file[..file.len() - 20]).assert_failed("truncated");
    for length in 0..file.len() - 20 {
        assert!(
            matches!(read_picture(&file[..length]), Seen::Failed(_)),
            "{length}"
        );
    }
}

#[test]
fn a_wrong_checksum_fails() {
    let mut file = white(9, 9);
    let end = file.len();
    file[end - 14] ^= 1;
    read_picture(&file).assert_failed("corrupt");
}

#[test]
fn a_header_that_promises_too_many_pixels_fails() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1 << 20, 1 << 20);
    encoder.set_color(ColorType::Grayscale);
    // The picture is missing, but the header alone is refused.
    drop(encoder.write_header().unwrap());
    read_picture(&bytes).assert_failed("1048576 × 1048576 pixels of 1 bytes exceed the limit");
}

#[test]
fn other_first_bytes_fail() {
    read_picture(b"GIF89a").assert_failed("expected those of a PNG, JPEG or TIFF file");
    read_picture(b"").assert_failed("expected those of a PNG, JPEG or TIFF file");
}
