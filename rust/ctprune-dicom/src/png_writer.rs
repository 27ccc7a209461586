//! Gray PNG of 8 or 16 bits, for exported slices.

use std::io::Write;

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError};

/// Writes an 8-bit gray PNG of `rows × columns` values, row-major.
///
/// Fails when the sizes do not match, a side is 0, or writing fails.
pub fn write_png8(to: impl Write, rows: usize, columns: usize, gray: &[u8]) -> Result<(), EncodingError> {
    write(to, rows, columns, BitDepth::Eight, gray)
}

/// Writes a 16-bit gray PNG of `rows × columns` values, row-major.
///
/// Fails when the sizes do not match, a side is 0, or writing fails.
pub fn write_png16(to: impl Write, rows: usize, columns: usize, gray: &[u16]) -> Result<(), EncodingError> {
    let big_endian: Vec<u8> = gray.iter().flat_map(|value| value.to_be_bytes()).collect();
    write(to, rows, columns, BitDepth::Sixteen, &big_endian)
}

fn write(
    to: impl Write,
    rows: usize,
    columns: usize,
    depth: BitDepth,
    bytes: &[u8],
) -> Result<(), EncodingError> {
    let side = |pixels| u32::try_from(pixels).map_err(|_| EncodingError::LimitsExceeded);
    let mut encoder = Encoder::new(to, side(columns)?, side(rows)?);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(depth);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(bytes)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image;
    use crate::slice::{Event, ReadOptions};
    use ctprune_core::pixels::Stored;

    /// What the reader says of the bytes, as text.
    fn read_back(bytes: &[u8]) -> String {
        let mut seen = String::new();
        let (options, mut buffers) = (ReadOptions::default(), image::Buffers::default());
        image::read_bytes(bytes, &options, &mut buffers, &mut |event| match event {
            Event::Slice { pixels, .. } => match pixels.stored {
                Stored::U8(s) => seen += &format!("{}x{} {s:?}", pixels.rows, pixels.columns),
                Stored::U16(s) => seen += &format!("{}x{} {s:?}", pixels.rows, pixels.columns),
                other => seen += &format!("{other:?}"),
            },
            Event::Header { info } => seen += &format!("{info:?}"),
            Event::Refused { refusal, .. } => seen += &format!("{refusal:?}"),
        });
        seen
    }

    #[test]
    fn eight_and_sixteen_bits_come_back() {
        let mut file = Vec::new();
        write_png8(&mut file, 2, 3, &[0, 1, 2, 253, 254, 255]).unwrap();
        assert_eq!(read_back(&file), "2x3 [0, 1, 2, 253, 254, 255]");
        let mut file = Vec::new();
        write_png16(&mut file, 1, 3, &[0, 258, 65535]).unwrap();
        assert_eq!(read_back(&file), "1x3 [0, 258, 65535]");
    }

    #[test]
    fn sizes_that_do_not_match_are_refused() {
        assert!(write_png8(Vec::new(), 2, 3, &[0; 5]).is_err());
        assert!(write_png8(Vec::new(), 0, 3, &[]).is_err());
    }
}
