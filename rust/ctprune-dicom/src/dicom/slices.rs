//! From a scanned header to events: the frames of an instance, one after the other.

use ctprune_core::pixels::{Scale, SlicePixels};

use super::codec;
use super::frames::Frames;
use super::functional_groups::FrameGroups;
use super::header::{FrameAttributes, Header, Number, PixelElement};
use super::memory::FrameBuffers;
use super::shape::Shape;
use super::skip::{has_position, image_type_reason};
use super::source::Source;
use super::stored::{Layout, Seen, stored};
use super::transfer_syntax::{Compression, TransferSyntax};
use crate::aligned::AlignedBytes;
use crate::code::Code;
use crate::error::{ReadError, unexpected};
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

/// A scanned SOP instance with pixels.
pub(crate) struct SopInstance<'a> {
    pub header: &'a mut Header,
    pub dataset: Dataset<'a>,
    pub pixels: PixelElement,
}

/// Reports every frame of `instance`. An error is one that no frame escapes.
pub(crate) fn each_frame(
    instance: &mut SopInstance<'_>,
    options: &ReadOptions,
    buffers: &mut FrameBuffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    let shape = Shape::of(instance.header, &instance.pixels, options)?;
    let wanted = instance.header.number_of_frames.map_or(1, |n| n.max(1) as u64);
    // Where compressed frames lie is known by reading from one to the next.
    let is_native = instance.dataset.syntax.compression == Compression::None;
    let frames = match options.headers_only && !is_native {
        true => None,
        false => Some(frames_of(instance, &shape, wanted)?),
    };
    let mut groups = groups_of(instance)?;
    let there = frames
        .as_ref()
        .map_or(wanted, |frames| frames.available().min(wanted));
    for n in 0..there {
        instance.header.info.frame = u32::try_from(n).unwrap_or(u32::MAX);
        let result = match &frames {
            Some(frames) if !options.headers_only => {
                frame_event(instance, &shape, (frames, n), groups.as_mut(), buffers, each)
            }
            _ => header_event(instance, groups.as_mut(), each),
        };
        if let Err(refusal) = result {
            each(Event::Refused {
                info: Some(&instance.header.info),
                refusal,
            });
        }
    }
    if there < wanted {
        instance.header.info.frame = u32::try_from(there).unwrap_or(u32::MAX);
        return Err(too_few(instance, &shape, there, wanted).into());
    }
    Ok(())
}

fn frames_of(instance: &mut SopInstance<'_>, shape: &Shape, wanted: u64) -> Result<Frames, Refusal> {
    let SopInstance {
        header,
        dataset: Dataset {
            syntax,
            bytes,
            source,
        },
        pixels,
    } = instance;
    match (syntax.compression, pixels.length) {
        (Compression::Unsupported, _) => Err(match uid(&header.info.transfer_syntax_uid) {
            "" => ReadError::Invalid("the Transfer Syntax UID is not a UID").into(),
            uid => Refusal::unsupported(
                Code::UnsupportedSyntax,
                format!("transfer syntax {uid} cannot be decoded"),
            ),
        }),
        (Compression::None, None) => {
            Err(unexpected("the length of the uncompressed pixel data", "a number", "none").into())
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

fn groups_of<'a>(instance: &SopInstance<'a>) -> Result<Option<FrameGroups<'a>>, ReadError> {
    let header = &instance.header;
    if header.shared_groups.is_none() && header.per_frame_groups.is_none() {
        return Ok(None);
    }
    let groups = FrameGroups::new(header, instance.dataset.bytes, instance.dataset.syntax.encoding)?;
    Ok(Some(groups))
}

fn too_few(instance: &SopInstance<'_>, shape: &Shape, there: u64, wanted: u64) -> ReadError {
    if wanted > 1 || instance.pixels.length.is_none() {
        return ReadError::TooFew {
            what: "the pixel data".into(),
            unit: "frame",
            expected: wanted,
            found: there,
        };
    }
    let value = instance
        .dataset
        .source
        .len()
        .saturating_sub(instance.pixels.value as u64);
    let bytes = instance
        .pixels
        .length
        .map_or(value, |length| value.min(u64::from(length)));
    ReadError::TooFew {
        what: format!("the pixel data of {shape}").into(),
        unit: "byte",
        expected: shape.frame_bytes as u64,
        found: bytes,
    }
}

/// Reports one frame.
fn frame_event(
    instance: &mut SopInstance<'_>,
    shape: &Shape,
    (frames, n): (&Frames, u64),
    groups: Option<&mut FrameGroups<'_>>,
    buffers: &mut FrameBuffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    if let Some(groups) = groups {
        take_groups(instance.header, groups)?;
    }
    let scale = scale_of(&instance.header.frame, instance.header.has_modality_lut)?;
    let FrameBuffers {
        encoded,
        decoded,
        samples,
    } = buffers;
    let bytes = frames.bytes(n, &mut instance.dataset.source, encoded);
    let bytes = bytes?;
    let syntax = &instance.dataset.syntax;
    let stored = match syntax.compression {
        Compression::None | Compression::Encapsulated => {
            let swap = syntax.encoding.big_endian != cfg!(target_endian = "big");
            let layout = Layout {
                sample: shape.sample,
                swap,
            };
            complete(bytes, shape, n)
                .map(|bytes| stored(bytes, layout, samples))
                .map_err(Refusal::from)
        }
        compression => decode(compression, bytes, shape, decoded, samples),
    };
    let info = &instance.header.info;
    let (rows, columns) = (shape.rows as usize, shape.columns as usize);
    let (stored, extremes) = stored?;
    each(Event::Slice {
        info,
        pixels: SlicePixels {
            rows,
            columns,
            stored,
            extremes,
            scale,
        },
    });
    Ok(())
}

/// Reports one frame by what the header says of it.
fn header_event(
    instance: &mut SopInstance<'_>,
    groups: Option<&mut FrameGroups<'_>>,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    if let Some(groups) = groups {
        take_groups(instance.header, groups)?;
    }
    let header = &instance.header;
    // Pixels with a table are for another reader; the header is not.
    if !header.has_modality_lut {
        scale_of(&header.frame, false)?;
    }
    each(Event::Header { info: &header.info });
    Ok(())
}

/// Takes what the functional groups say about the next frame.
fn take_groups(header: &mut Header, groups: &mut FrameGroups<'_>) -> Result<(), Refusal> {
    let n = header.info.frame;
    let result = groups.next_frame(&mut header.info, &mut header.frame);
    header.info.frame = n;
    result.map_err(ReadError::from)?;
    match image_type_reason(&header.info.image_type, has_position(&header.info)) {
        Some(reason) => Err(Refusal::Skipped(reason)),
        None => Ok(()),
    }
}

/// The bytes of an uncompressed frame, if they are all there.
fn complete<'a>(bytes: &'a [u8], shape: &Shape, n: u64) -> Result<&'a [u8], ReadError> {
    let (wanted, there) = (shape.frame_bytes, bytes.len());
    bytes.get(..wanted).ok_or_else(|| ReadError::TooFew {
        what: format!("frame {n} of {shape}").into(),
        unit: "byte",
        expected: wanted as u64,
        found: there as u64,
    })
}

/// The stored values of a compressed frame, and their extremes where these were seen.
fn decode<'a>(
    compression: Compression,
    bytes: &[u8],
    shape: &Shape,
    decoded: &'a mut AlignedBytes,
    samples: &'a mut AlignedBytes,
) -> Result<Seen<'a>, Refusal> {
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
        let reason = "a Modality LUT Sequence in place of Rescale Slope and Intercept";
        return Err(Refusal::unsupported(Code::Unsupported, reason));
    }
    let finite = |number: Number, absent: f64, name: &'static str| match number {
        Number::Absent => Ok(absent),
        Number::Value(value) if value.is_finite() => Ok(value),
        Number::Value(value) => Err(unexpected(name, "a finite number", value)),
        Number::Unreadable => Err(unexpected(name, "a number", "other text")),
    };
    let slope = finite(frame.rescale_slope, 1.0, "Rescale Slope")?;
    let intercept = finite(frame.rescale_intercept, 0.0, "Rescale Intercept")?;
    if slope == 0.0 {
        return Err(ReadError::Invalid("Rescale Slope is zero").into());
    }
    Ok(Scale::Hounsfield { slope, intercept })
}
