//! From a scanned header to events: the frames of an object, one after the other.

use ctprune_core::pixels::{Scale, SlicePixels, Stored};

use super::codec;
use super::frames::Frames;
use super::functional_groups::FrameGroups;
use super::header::{FrameAttributes, Header, Number, PixelElement, PixelKind};
use super::memory::FrameBuffers;
use super::skip::{has_place, image_type_reason};
use super::source::Source;
use super::stored::{Layout, Sample, stored};
use super::transfer_syntax::{Compression, TransferSyntax};
use crate::slice::{Event, ReadOptions, Refusal, SliceInfo};

/// The bytes of a data set.
pub(crate) struct Dataset<'a> {
    pub syntax: TransferSyntax,
    /// The elements before the pixel data, at least.
    pub bytes: &'a [u8],
    /// Where the pixel data is.
    pub source: Source<'a>,
}

/// A scanned object with pixels.
pub(crate) struct Object<'a> {
    pub header: &'a mut Header,
    pub dataset: Dataset<'a>,
    pub pixels: PixelElement,
}

/// The shape of a frame.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: u32,
    columns: u32,
    sample: Sample,
    frame_bytes: usize,
}

/// Reports every frame of `object`. An error is one that no frame escapes.
pub(crate) fn each_frame(
    object: &mut Object<'_>,
    options: &ReadOptions,
    buffers: &mut FrameBuffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    let shape = Shape::of(object.header, &object.pixels, options).map_err(Refusal::Failed)?;
    let wanted = object.header.number_of_frames.map_or(1, |n| n.max(1) as u64);
    let frames = frames_of(object, &shape, wanted).map_err(Refusal::Failed)?;
    let mut groups = groups_of(object).map_err(Refusal::Failed)?;
    let there = frames.available().min(wanted);
    for n in 0..there {
        object.header.info.frame = u32::try_from(n).unwrap_or(u32::MAX);
        if let Err(refusal) = frame_event(object, &shape, &frames, n, groups.as_mut(), buffers, each) {
            each(Event::Refused {
                info: Some(&object.header.info),
                refusal,
            });
        }
    }
    if there < wanted {
        object.header.info.frame = u32::try_from(there).unwrap_or(u32::MAX);
        return Err(Refusal::Failed(too_few(object, &shape, there, wanted)));
    }
    Ok(())
}

fn frames_of(object: &mut Object<'_>, shape: &Shape, wanted: u64) -> Result<Frames, String> {
    let Object {
        header,
        dataset: Dataset {
            syntax,
            bytes,
            source,
        },
        pixels,
    } = object;
    match (syntax.compression, pixels.length) {
        (Compression::Unsupported, _) => Err(format!(
            "transfer syntax {} cannot be decoded",
            header.info.transfer_syntax_uid
        )),
        (Compression::None, None) => {
            Err("pixel data should have a length in this transfer syntax, it has none".into())
        }
        (Compression::None, Some(_)) => Ok(Frames::native(source, pixels, shape.frame_bytes)),
        _ => Frames::encapsulated(source, header, pixels, bytes, (wanted, shape.frame_bytes)),
    }
}

fn groups_of<'a>(object: &Object<'a>) -> Result<Option<FrameGroups<'a>>, String> {
    let header = &object.header;
    if header.shared_groups.is_none() && header.per_frame_groups.is_none() {
        return Ok(None);
    }
    FrameGroups::new(header, object.dataset.bytes, object.dataset.syntax.encoding)
        .map(Some)
        .map_err(|e| e.to_string())
}

fn too_few(object: &Object<'_>, shape: &Shape, there: u64, wanted: u64) -> String {
    if wanted > 1 || object.pixels.length.is_none() {
        return format!("pixel data is short: {wanted} frames are announced, {there} are there");
    }
    let value = object
        .dataset
        .source
        .len()
        .saturating_sub(object.pixels.value as u64);
    let bytes = object
        .pixels
        .length
        .map_or(value, |length| value.min(u64::from(length)));
    format!(
        "pixel data is short: {shape} need {} bytes, {bytes} are there",
        shape.frame_bytes
    )
}

/// Reports one frame.
fn frame_event(
    object: &mut Object<'_>,
    shape: &Shape,
    frames: &Frames,
    n: u64,
    groups: Option<&mut FrameGroups<'_>>,
    buffers: &mut FrameBuffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    if let Some(groups) = groups {
        let frame_number = object.header.info.frame;
        let header = &mut *object.header;
        let result = groups.next_frame(&mut header.info, &mut header.frame);
        header.info.frame = frame_number;
        result.map_err(|e| Refusal::Failed(format!("functional groups of frame {n}: {e}")))?;
        if let Some(reason) = image_type_reason(&header.frame.image_type, has_place(&header.info)) {
            return Err(Refusal::Skipped(reason.into()));
        }
    }
    let scale = scale_of(&object.header.frame).map_err(Refusal::Failed)?;
    let FrameBuffers {
        encoded,
        decoded,
        samples,
    } = buffers;
    let bytes = frames.bytes(n, &mut object.dataset.source, encoded);
    let bytes = bytes.map_err(|e| Refusal::Failed(format!("frame {n} cannot be read: {e}")))?;
    let stored = match (object.dataset.syntax.compression, shape.sample) {
        (Compression::None | Compression::Encapsulated, sample) => {
            let short = || {
                format!(
                    "frame {n} is short: {shape} need {} bytes, {} are there",
                    shape.frame_bytes,
                    bytes.len()
                )
            };
            let bytes = bytes
                .get(..shape.frame_bytes)
                .ok_or_else(|| Refusal::Failed(short()))?;
            let swap = object.dataset.syntax.encoding.big_endian != cfg!(target_endian = "big");
            stored(bytes, Layout { sample, swap }, samples)
        }
        (compression, sample) => {
            let expected = codec::Expected {
                rows: shape.rows,
                columns: shape.columns,
                sample,
            };
            let sample = codec::decode(compression, bytes, &expected, decoded).map_err(Refusal::Failed)?;
            let len = shape.rows as usize * shape.columns as usize * sample.bytes();
            stored(decoded.bytes(len), Layout { sample, swap: false }, samples)
        }
    };
    report(&object.header.info, shape, stored, scale, each);
    Ok(())
}

fn report(
    info: &SliceInfo,
    shape: &Shape,
    stored: Stored<'_>,
    scale: Scale,
    each: &mut dyn FnMut(Event<'_>),
) {
    let (rows, columns) = (shape.rows as usize, shape.columns as usize);
    each(Event::Slice {
        info,
        pixels: SlicePixels {
            rows,
            columns,
            stored,
            scale,
        },
    });
}

/// Rescale Slope and Intercept (PS3.3 C.11.1); absent ones change nothing.
fn scale_of(frame: &FrameAttributes) -> Result<Scale, String> {
    let finite = |number: Number, absent: f64, name: &str| match number {
        Number::Absent => Ok(absent),
        Number::Value(value) if value.is_finite() => Ok(value),
        Number::Value(value) => Err(format!("{name} should be finite, it is {value}")),
        Number::Unreadable => Err(format!("{name} should be a number, it is none")),
    };
    let slope = finite(frame.rescale_slope, 1.0, "Rescale Slope")?;
    let intercept = finite(frame.rescale_intercept, 0.0, "Rescale Intercept")?;
    if slope == 0.0 {
        return Err("Rescale Slope should not be zero, it is".into());
    }
    Ok(Scale::Hounsfield { slope, intercept })
}

impl Shape {
    /// The shape that the header declares, refused where it makes no sense or exceeds the limit.
    fn of(header: &Header, pixels: &PixelElement, options: &ReadOptions) -> Result<Self, String> {
        let (rows, columns) = (header.info.rows, header.info.columns);
        if rows == 0 || columns == 0 {
            return Err(format!(
                "Rows and Columns should be positive, they are {rows} and {columns}"
            ));
        }
        let sample = match pixels.kind {
            PixelKind::Integer => integer_sample(header)?,
            PixelKind::Float => Sample::Float,
            PixelKind::Double => Sample::Double,
        };
        let bytes = u64::from(rows).checked_mul(u64::from(columns) * sample.bytes() as u64);
        let limit = options.max_slice_bytes;
        let frame_bytes = bytes
            .filter(|&b| b <= limit)
            .and_then(|b| usize::try_from(b).ok());
        let shape = Shape {
            rows,
            columns,
            sample,
            frame_bytes: frame_bytes.unwrap_or(0),
        };
        match frame_bytes {
            Some(_) => Ok(shape),
            None => Err(format!("{shape} need more than the limit of {limit} bytes")),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} × {} × {} bits",
            self.rows,
            self.columns,
            8 * self.sample.bytes()
        )
    }
}

fn integer_sample(header: &Header) -> Result<Sample, String> {
    let allocated = header.bits_allocated.ok_or("Bits Allocated is missing")?;
    if ![8, 16, 32].contains(&allocated) {
        return Err(format!("Bits Allocated should be 8, 16 or 32, it is {allocated}"));
    }
    let stored = header.bits_stored.unwrap_or(allocated);
    if stored == 0 || stored > allocated {
        return Err(format!("Bits Stored should be 1 to {allocated}, it is {stored}"));
    }
    // A High Bit that leaves no room for the value cannot be meant; pydicom ignores High Bit altogether.
    let high_bit = header
        .high_bit
        .filter(|&high| high + 1 >= stored && high < allocated)
        .unwrap_or(stored - 1);
    let signed = header.pixel_representation == Some(1);
    Ok(Sample::Integer {
        bytes: allocated as usize / 8,
        stored,
        high_bit,
        signed,
    })
}
