//! TIFF and BigTIFF, page by page: strips or tiles; uncompressed, LZW, Deflate or PackBits.

use std::io::{Read, Seek};

use tiff::decoder::{ChunkType, Decoder, Limits};
use tiff::tags::{PhotometricInterpretation, PlanarConfiguration, Tag};
use tiff::{ColorType, TiffError};

use super::{Decoded, Picture, hand_over, tiff_pixels};
use crate::samples::{SampleType, failed, slice_bytes};
use crate::slice::{Event, ReadOptions, Refusal, SliceInfo};

/// NewSubfileType bits: a smaller version of another page, a transparency mask.
const REDUCED_OR_MASK: u32 = 0b101;

/// Reads every page; a page that is refused does not stop the next ones.
pub(super) fn read<R: Read + Seek>(
    source: R,
    options: &ReadOptions,
    decoded: &mut Decoded,
    each: &mut dyn FnMut(Event<'_>),
) {
    let largest = usize::try_from(options.max_slice_bytes).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = largest;
    limits.intermediate_buffer_size = largest;
    let mut decoder = match Decoder::new(source) {
        Ok(decoder) => decoder.with_limits(limits),
        Err(error) => {
            return each(Event::Refused {
                info: None,
                refusal: refusal(error),
            });
        }
    };
    for frame in 0.. {
        let picture = decode_page(&mut decoder, options, decoded);
        hand_over(picture, frame, decoded, each);
        if !decoder.more_images() {
            return;
        }
        if let Err(error) = decoder.next_image() {
            let info = SliceInfo {
                frame: frame + 1,
                ..SliceInfo::default()
            };
            return each(Event::Refused {
                info: Some(&info),
                refusal: refusal(error),
            });
        }
    }
}

fn decode_page<R: Read + Seek>(
    decoder: &mut Decoder<R>,
    options: &ReadOptions,
    decoded: &mut Decoded,
) -> Result<Picture, Refusal> {
    let subfile: u32 = tag(decoder, Tag::NewSubfileType, 0)?;
    if subfile & REDUCED_OR_MASK != 0 {
        return Err(Refusal::Skipped("thumbnail or mask in a TIFF".into()));
    }
    let layout = Layout::of(decoder)?;
    let length = layout.check_size(decoder, options)?;
    let pixels = decoded.samples.bytes_mut(length);
    decoder.read_image_bytes(pixels).map_err(refusal)?;
    let content = tiff_pixels::to_content(&layout, pixels, &mut decoded.grey)?;
    Ok(Picture {
        rows: layout.rows,
        columns: layout.columns,
        content,
    })
}

/// How the samples of a page lie in memory once they are decompressed.
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) colour: ColorType,
    pub(super) sample: SampleType,
    /// Samples of one pixel, side by side.
    pub(super) samples: usize,
    pub(super) white_is_zero: bool,
    /// The colours are multiplied by their alpha.
    pub(super) premultiplied: bool,
}

impl Layout {
    fn of<R: Read + Seek>(decoder: &mut Decoder<R>) -> Result<Layout, Refusal> {
        let (columns, rows) = decoder.dimensions().map_err(refusal)?;
        let colour = decoder.colortype().map_err(refusal)?;
        check_arrangement(decoder, colour)?;
        let photometric: u16 = tag(decoder, Tag::PhotometricInterpretation, 1)?;
        let alpha: Vec<u16> = tag_values(decoder, Tag::ExtraSamples)?;
        Ok(Layout {
            rows: rows as usize,
            columns: columns as usize,
            colour,
            sample: sample_type(decoder, colour)?,
            samples: usize::from(colour.num_samples()),
            white_is_zero: photometric == PhotometricInterpretation::WhiteIsZero.to_u16(),
            premultiplied: alpha.first() == Some(&1),
        })
    }

    /// Bytes that the decoded page needs; both the page and one of its tiles stay within the limit.
    fn check_size<R: Read + Seek>(
        &self,
        decoder: &mut Decoder<R>,
        options: &ReadOptions,
    ) -> Result<usize, Refusal> {
        let samples: u16 = tag(decoder, Tag::SamplesPerPixel, 1)?;
        let bytes_per_pixel = u64::from(samples) * self.sample.size() as u64;
        slice_bytes(self.rows as u64, self.columns as u64, bytes_per_pixel, options)?;
        if decoder.get_chunk_type() == ChunkType::Tile {
            let (columns, rows) = decoder.chunk_dimensions();
            slice_bytes(u64::from(rows), u64::from(columns), bytes_per_pixel, options)?;
        }
        Ok(decoder.image_buffer_layout().map_err(refusal)?.len)
    }
}

/// Refuses what the decoder gets wrong: separate colour planes, and surplus samples besides colour and alpha.
fn check_arrangement<R: Read + Seek>(decoder: &mut Decoder<R>, colour: ColorType) -> Result<(), Refusal> {
    let samples: u16 = tag(decoder, Tag::SamplesPerPixel, 1)?;
    let planes = tag(decoder, Tag::PlanarConfiguration, 1)?;
    if samples > 1 && planes == PlanarConfiguration::Planar.to_u16() {
        return Err(failed(format!(
            "TIFF of {samples} separate planes is not supported"
        )));
    }
    if samples != colour.num_samples() {
        return Err(failed(format!(
            "TIFF of {samples} samples for {colour:?} is not supported"
        )));
    }
    Ok(())
}

/// SampleFormat (339) and bits a sample; up to 8 bits unsigned are one byte wide here.
fn sample_type<R: Read + Seek>(decoder: &mut Decoder<R>, colour: ColorType) -> Result<SampleType, Refusal> {
    let format = tag_values::<_, u16>(decoder, Tag::SampleFormat)?
        .first()
        .copied()
        .unwrap_or(1);
    match (format, colour.bit_depth()) {
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
            Err(failed(format!("TIFF of {bits}-bit {kind} is not supported")))
        }
    }
}

fn tag<R: Read + Seek, T: TryFrom<u64>>(
    decoder: &mut Decoder<R>,
    tag: Tag,
    default: T,
) -> Result<T, Refusal> {
    Ok(decoder
        .find_tag_unsigned(tag)
        .map_err(refusal)?
        .unwrap_or(default))
}

fn tag_values<R: Read + Seek, T: TryFrom<u64>>(
    decoder: &mut Decoder<R>,
    tag: Tag,
) -> Result<Vec<T>, Refusal> {
    Ok(decoder
        .find_tag_unsigned_vec(tag)
        .map_err(refusal)?
        .unwrap_or_default())
}

fn refusal(error: TiffError) -> Refusal {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            failed("the TIFF is truncated: its data end before its last pixel")
        }
        TiffError::LimitsExceeded => failed("the TIFF needs more memory than the limit allows"),
        TiffError::UnsupportedError(what) => failed(format!("TIFF of an unsupported kind: {what}")),
        other => failed(format!("the TIFF is corrupt: {other}")),
    }
}
