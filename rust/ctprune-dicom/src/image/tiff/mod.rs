//! TIFF and BigTIFF, page by page: strips or tiles; uncompressed, LZW, Deflate or PackBits.

mod layout;
mod pixels;

use std::io::{Read, Seek};

use tiff::decoder::{Decoder, Limits};
use tiff::tags::Tag;

use self::layout::{Layout, read_error, tag};
use super::{Decoded, Picture, hand_over};
use crate::code::Code;
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
                refusal: read_error(error).into(),
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
                refusal: read_error(error).into(),
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
        return Err(Refusal::skipped(Code::Thumbnail, "thumbnail or mask in a TIFF"));
    }
    let layout = Layout::of(decoder)?;
    let length = layout.check_size(decoder, options)?;
    let samples = decoded.samples.take(length);
    decoder.read_image_bytes(samples).map_err(read_error)?;
    let content = pixels::to_content(&layout, samples, &mut decoded.gray)?;
    Ok(Picture {
        rows: layout.rows,
        columns: layout.columns,
        content,
    })
}
