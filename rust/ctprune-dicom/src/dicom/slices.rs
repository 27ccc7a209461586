//! From a scanned header to events: the frames of an object, one after the other.

use ctprune_core::pixels::{Scale, SlicePixels, Stored};

use super::codec;
use super::frames::Frames;
use super::functional_groups::FrameGroups;
use super::header::{FrameAttributes, Header, Number, PixelElement};
use super::memory::{AlignedBytes, FrameBuffers};
use super::shape::Shape;
use super::skip::{has_place, image_type_reason};
use super::source::Source;
use super::stored::{Layout, stored};
use super::transfer_syntax::{Compression, TransferSyntax};
use crate::slice::{Event, ReadOptions, Refusal};
use crate::text::uid;

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

/// Reports every frame of `object`. An error is one that no frame escapes.
pub(crate) fn each_frame(
    object: &mut Object<'_>,
    options: &ReadOptions,
    buffers: &mut FrameBuffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    let shape = Shape::of(object.header, &object.pixels, options)?;
    let wanted = object.header.number_of_frames.map_or(1, |n| n.max(1) as u64);
    let frames = frames_of(object, &shape, wanted)?;
    let mut groups = groups_of(object).map_err(Refusal::Failed)?;
    let there = frames.available().min(wanted);
    for n in 0..there {
        object.header.info.frame = u32::try_from(n).unwrap_or(u32::MAX);
        if let Err(refusal) = frame_event(object, &shape, (&frames, n), groups.as_mut(), buffers, each) {
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

fn frames_of(object: &mut Object<'_>, shape: &Shape, wanted: u64) -> Result<Frames, Refusal> {
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
        (Compression::Unsupported, _) => Err(match uid(&header.info.transfer_syntax_uid) {
            "" => "the Transfer Syntax UID is not a UID".into(),
            uid => Refusal::Unsupported(format!("transfer syntax {uid} cannot be decoded")),
        }),
        (Compression::None, None) => {
            Err("pixel data should have a length in this transfer syntax, it has none".into())
        }
        (Compression::None, Some(_)) => Ok(Frames::native(source, pixels, shape.frame_bytes)),
        _ => Ok(Frames::encapsulated(
            source,
            header,
            pixels,
            bytes,
            (wanted, shape.frame_bytes),
        )?),
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
    (frames, n): (&Frames, u64),
    groups: Option<&mut FrameGroups<'_>>,
    buffers: &mut FrameBuffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    if let Some(groups) = groups {
        take_groups(object.header, groups)?;
    }
    let scale = scale_of(&object.header.frame, object.header.has_modality_lut)?;
    let FrameBuffers {
        encoded,
        decoded,
        samples,
    } = buffers;
    let bytes = frames.bytes(n, &mut object.dataset.source, encoded);
    let bytes = bytes.map_err(|e| Refusal::Failed(format!("frame {n} cannot be read: {e}")))?;
    let syntax = &object.dataset.syntax;
    let stored = match syntax.compression {
        Compression::None | Compression::Encapsulated => {
            let swap = syntax.encoding.big_endian != cfg!(target_endian = "big");
            let layout = Layout {
                sample: shape.sample,
                swap,
            };
            complete(bytes, shape, n)
                .map(|bytes| stored(bytes, layout, samples))
                .map_err(Refusal::Failed)
        }
        compression => decode(compression, bytes, shape, decoded, samples),
    };
    let info = &object.header.info;
    let (rows, columns) = (shape.rows as usize, shape.columns as usize);
    let stored = stored?;
    each(Event::Slice {
        info,
        pixels: SlicePixels {
            rows,
            columns,
            stored,
            scale,
        },
    });
    Ok(())
}

/// Takes what the functional groups say about the next frame.
fn take_groups(header: &mut Header, groups: &mut FrameGroups<'_>) -> Result<(), Refusal> {
    let n = header.info.frame;
    let result = groups.next_frame(&mut header.info, &mut header.frame);
    header.info.frame = n;
    result.map_err(|e| Refusal::Failed(format!("functional groups of frame {n}: {e}")))?;
    match image_type_reason(&header.frame.image_type, has_place(&header.info)) {
        Some(reason) => Err(Refusal::Skipped(reason.into())),
        None => Ok(()),
    }
}

/// The bytes of an uncompressed frame, if they are all there.
fn complete<'a>(bytes: &'a [u8], shape: &Shape, n: u64) -> Result<&'a [u8], String> {
    let (wanted, there) = (shape.frame_bytes, bytes.len());
    bytes
        .get(..wanted)
        .ok_or_else(|| format!("frame {n} is short: {shape} need {wanted} bytes, {there} are there"))
}

/// The stored values of a compressed frame.
fn decode<'a>(
    compression: Compression,
    bytes: &[u8],
    shape: &Shape,
    decoded: &'a mut AlignedBytes,
    samples: &'a mut AlignedBytes,
) -> Result<Stored<'a>, Refusal> {
    let &Shape {
        rows,
        columns,
        sample,
        ..
    } = shape;
    let sample = codec::decode(
        compression,
        bytes,
        &codec::Expected {
            rows,
            columns,
            sample,
        },
        decoded,
    )?;
    let len = rows as usize * columns as usize * sample.bytes();
    Ok(stored(
        decoded.bytes(len),
        Layout { sample, swap: false },
        samples,
    ))
}

/// Rescale Slope and Intercept (PS3.3 C.11.1); absent ones change nothing, unless a table stands for them.
fn scale_of(frame: &FrameAttributes, has_modality_lut: bool) -> Result<Scale, Refusal> {
    if has_modality_lut {
        let reason = "Rescale Slope and Intercept were expected, a Modality LUT Sequence was found";
        return Err(Refusal::Unsupported(reason.into()));
    }
    let finite = |number: Number, absent: f64, name: &str| match number {
        Number::Absent => Ok(absent),
        Number::Value(value) if value.is_finite() => Ok(value),
        Number::Value(value) => Err(format!("{name} should be finite, it is {value}")),
        Number::Unreadable => Err(format!("{name} should be a number, it is none")),
    };
    let slope = finite(frame.rescale_slope, 1.0, "Rescale Slope")?;
    let intercept = finite(frame.rescale_intercept, 0.0, "Rescale Intercept")?;
    if slope == 0.0 {
        return Err("Rescale Slope is zero".into());
    }
    Ok(Scale::Hounsfield { slope, intercept })
}
