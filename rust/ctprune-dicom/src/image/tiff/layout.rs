//! How the samples of a TIFF page lie in memory once they are decompressed.

use std::io::{Read, Seek};

use tiff::decoder::{ChunkType, Decoder};
use tiff::tags::{PhotometricInterpretation, PlanarConfiguration, Tag};
use tiff::{ColorType, TiffError};

use crate::code::Code;
use crate::error::ReadError;
use crate::samples::{SampleType, slice_bytes};
use crate::slice::ReadOptions;

/// How the samples of a page lie in memory once they are decompressed.
pub(crate) struct Layout {
    pub rows: usize,
    pub columns: usize,
    pub color: ColorType,
    pub sample: SampleType,
    /// Samples of one pixel, side by side.
    pub samples: usize,
    pub white_is_zero: bool,
    /// The colors are multiplied by their alpha.
    pub premultiplied: bool,
}

impl Layout {
    pub fn of<R: Read + Seek>(decoder: &mut Decoder<R>) -> Result<Layout, ReadError> {
        let (columns, rows) = decoder.dimensions().map_err(read_error)?;
        let color = decoder.colortype().map_err(read_error)?;
        check_arrangement(decoder, color)?;
        let photometric: u16 = tag(decoder, Tag::PhotometricInterpretation, 1)?;
        let alpha: Vec<u16> = tag_values(decoder, Tag::ExtraSamples)?;
        Ok(Layout {
            rows: rows as usize,
            columns: columns as usize,
            color,
            sample: sample_type(decoder, color)?,
            samples: usize::from(color.num_samples()),
            white_is_zero: photometric == PhotometricInterpretation::WhiteIsZero.to_u16(),
            premultiplied: alpha.first() == Some(&1),
        })
    }

    /// Bytes that the decoded page needs; both the page and one of its tiles stay within the limit.
    pub fn check_size<R: Read + Seek>(
        &self,
        decoder: &mut Decoder<R>,
        options: &ReadOptions,
    ) -> Result<usize, ReadError> {
        let samples: u16 = tag(decoder, Tag::SamplesPerPixel, 1)?;
        let bytes_per_pixel = u64::from(samples) * self.sample.size() as u64;
        slice_bytes(self.rows as u64, self.columns as u64, bytes_per_pixel, options)?;
        if decoder.get_chunk_type() == ChunkType::Tile {
            let (columns, rows) = decoder.chunk_dimensions();
            slice_bytes(u64::from(rows), u64::from(columns), bytes_per_pixel, options)?;
        }
        Ok(decoder.image_buffer_layout().map_err(read_error)?.len)
    }

    /// Index of a sample of a pixel.
    pub fn at(&self, pixel: usize, sample: usize) -> usize {
        pixel * self.samples + sample
    }

    /// Numbers of its pixels.
    pub fn pixels(&self) -> std::ops::Range<usize> {
        0..self.rows * self.columns
    }
}

/// Refuses what the decoder gets wrong: separate color planes, and surplus samples besides color and alpha.
fn check_arrangement<R: Read + Seek>(decoder: &mut Decoder<R>, color: ColorType) -> Result<(), ReadError> {
    let samples: u16 = tag(decoder, Tag::SamplesPerPixel, 1)?;
    let planes = tag(decoder, Tag::PlanarConfiguration, 1)?;
    if samples > 1 && planes == PlanarConfiguration::Planar.to_u16() {
        return Err(ReadError::Unsupported(
            format!("TIFF of {samples} separate planes").into(),
        ));
    }
    if samples != color.num_samples() {
        return Err(ReadError::Unsupported(
            format!("TIFF of {samples} samples for {color:?}").into(),
        ));
    }
    Ok(())
}

/// SampleFormat (339) and bits a sample; up to 8 bits unsigned are one byte wide here.
fn sample_type<R: Read + Seek>(decoder: &mut Decoder<R>, color: ColorType) -> Result<SampleType, ReadError> {
    let format = tag_values::<_, u16>(decoder, Tag::SampleFormat)?
        .first()
        .copied()
        .unwrap_or(1);
    match (format, color.bit_depth()) {
        (1, 1 | 2 | 4 | 8) => Ok(SampleType::U8),
        (1, 16) => Ok(SampleType::U16),
        (1, 32) => Ok(SampleType::U32),
        (2, 8) => Ok(SampleType::I8),
        (2, 16) => Ok(SampleType::I16),
        (2, 32) => Ok(SampleType::I32),
        (3, 32) => Ok(SampleType::F32),
        (3, 64) => Ok(SampleType::F64),
        (format, bits) => {
            let kind = match format {
                1 => "unsigned integers",
                2 => "signed integers",
                3 => "floating-point numbers",
                _ => "unknown values",
            };
            Err(ReadError::Unsupported(
                format!("TIFF of {bits}-bit {kind}").into(),
            ))
        }
    }
}

/// The value of a tag, or what stands for it where it is missing.
pub(crate) fn tag<R: Read + Seek, T: TryFrom<u64>>(
    decoder: &mut Decoder<R>,
    tag: Tag,
    default: T,
) -> Result<T, ReadError> {
    Ok(decoder
        .find_tag_unsigned(tag)
        .map_err(read_error)?
        .unwrap_or(default))
}

fn tag_values<R: Read + Seek, T: TryFrom<u64>>(
    decoder: &mut Decoder<R>,
    tag: Tag,
) -> Result<Vec<T>, ReadError> {
    Ok(decoder
        .find_tag_unsigned_vec(tag)
        .map_err(read_error)?
        .unwrap_or_default())
}

pub(crate) fn read_error(error: TiffError) -> ReadError {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ReadError::Truncated("the TIFF")
        }
        TiffError::LimitsExceeded => {
            ReadError::other(Code::TooLarge, "the TIFF needs more memory than the limit allows")
        }
        TiffError::UnsupportedError(what) => ReadError::Unsupported(format!("TIFF with {what}").into()),
        other => ReadError::Corrupt {
            what: "TIFF",
            reason: other.to_string(),
        },
    }
}
