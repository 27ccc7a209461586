//! The way of one file: read, scan, skip or hand over its frames.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::Path;

use super::element::Reader;
use super::file_meta::{FileMeta, corrected};
use super::header::Header;
use super::inflate::inflate;
use super::memory::{Buffers, FrameBuffers};
use super::skip::refusal;
use super::slices::{Dataset, SopInstance, each_frame};
use super::source::{HEADER_ALONE, HEADER_PREFIX, Input, MAX_HEADER, Source, WHOLE_FILE_LIMIT};
use crate::aligned::AlignedBytes;
use crate::error::{DataSetError, ReadError, unexpected};
use crate::slice::{Event, ReadOptions, Refusal, SliceInfo};

/// Reads the DICOM file at `path` and reports each of its frames to `each`, or why there is none.
///
/// At least one event is reported. Bad input never panics, a file of more than 64 MiB is never held whole, and
/// no frame is decoded that would need more than `options.max_slice_bytes`.
pub fn read_file(path: &Path, options: &ReadOptions, buffers: &mut Buffers, each: &mut dyn FnMut(Event<'_>)) {
    read_opened(Input::open(path), options, buffers, each);
}

/// The same for a file that is open already, so that opening it again costs nothing.
pub fn read_open_file(
    file: File,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    read_opened(Input::of_file(file), options, buffers, each);
}

fn read_opened(
    input: io::Result<Input<'_>>,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    match input {
        Ok(input) => read_input(input, options, buffers, each),
        Err(error) => {
            let refusal = ReadError::io("the file cannot be opened", &error).into();
            each(Event::Refused { info: None, refusal });
        }
    }
}

/// The same for a DICOM file that is in memory, such as a member of an archive.
pub fn read_bytes(
    bytes: &[u8],
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    read_input(
        Input::new(Cursor::new(bytes), bytes.len() as u64),
        options,
        buffers,
        each,
    );
}

/// Whether the first bytes of a DICOM file reach up to its pixels and are enough to refuse it: whoever reads them alone
/// is told the same as by the whole file.
pub fn header_decides(head: &[u8], options: &ReadOptions) -> bool {
    let (mut bytes, mut meta, mut header) = (AlignedBytes::default(), FileMeta::default(), Header::default());
    let mut input = Input::new(Cursor::new(head), head.len() as u64);
    match scan_input(
        &mut input,
        &mut bytes,
        &mut meta,
        &mut header,
        WHOLE_FILE_LIMIT as u64,
    ) {
        Ok((_, broken)) if header.pixels.is_some() => {
            let class = &meta.media_storage_sop_class_uid;
            matches!(
                refusal(&header, class, options, broken),
                Some(Refusal::Skipped(_))
            )
        }
        _ => false,
    }
}

/// The same for `len` bytes that a reader gives.
pub fn read_part(
    reader: impl Read + Seek,
    len: u64,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    read_input(Input::new(reader, len), options, buffers, each);
}

fn read_input(
    mut input: Input<'_>,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) {
    buffers.header.clear();
    if let Err(refusal) = read_object(&mut input, options, buffers, each) {
        // What was understood before the refusal; nothing at all in a file that is not DICOM.
        let info = &buffers.header.info;
        let info = (*info != SliceInfo::default()).then_some(info);
        each(Event::Refused { info, refusal });
    }
    buffers.trim();
}

fn read_object(
    input: &mut Input<'_>,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    let Buffers {
        header,
        meta,
        file,
        frames,
    } = buffers;
    let first = match options.headers_only {
        true => HEADER_ALONE,
        false if input.len <= WHOLE_FILE_LIMIT as u64 => input.len,
        false => HEADER_PREFIX,
    };
    let (len, mut broken) = scan_input(input, file, meta, header, first)?;
    let bytes = file.bytes(len);
    let mut syntax = meta.transfer_syntax(bytes);
    let inflated;
    let dataset = if syntax.deflated {
        inflated = inflate(input, meta.dataset, options)?;
        syntax.encoding = corrected(syntax.encoding, &inflated);
        broken = header.scan(Reader::new(&inflated, 0, syntax.encoding)).err();
        Dataset {
            syntax,
            bytes: &inflated,
            source: Source::Memory(&inflated),
        }
    } else if len as u64 == input.len {
        Dataset {
            syntax,
            bytes,
            source: Source::Memory(bytes),
        }
    } else {
        Dataset {
            syntax,
            bytes,
            source: input.as_source(),
        }
    };
    if let Some(refusal) = refusal(header, &meta.media_storage_sop_class_uid, options, broken) {
        return Err(refusal);
    }
    read_pixels(header, dataset, options, frames, each)
}

fn read_pixels<'a>(
    header: &'a mut Header,
    dataset: Dataset<'a>,
    options: &ReadOptions,
    frames: &mut FrameBuffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    match header.pixels {
        Some(pixels) => each_frame(
            &mut SopInstance {
                header,
                dataset,
                pixels,
            },
            options,
            frames,
            each,
        ),
        None => Err(ReadError::Missing("the pixel data").into()),
    }
}

/// Reads and scans as much of the input as is needed: the `first` bytes, and more until the pixels begin. Returns how
/// many bytes are in `bytes`, and why the scan ended early. The data set of a deflated file is left alone.
fn scan_input(
    input: &mut Input<'_>,
    bytes: &mut AlignedBytes,
    meta: &mut FileMeta,
    header: &mut Header,
    first: u64,
) -> Result<(usize, Option<DataSetError>), ReadError> {
    let mut wanted = first.min(input.len);
    loop {
        let read = input.read_at(0, wanted as usize, bytes);
        let head = read.map_err(|e| ReadError::io("the file cannot be read", &e))?;
        meta.read(head).ok_or(ReadError::Invalid("not a DICOM file"))?;
        header.clear();
        header
            .info
            .transfer_syntax_uid
            .push_str(&meta.transfer_syntax_uid);
        let syntax = meta.transfer_syntax(head);
        if syntax.deflated {
            return Ok((head.len(), None));
        }
        let broken = header
            .scan(Reader::new(head, meta.dataset, syntax.encoding))
            .err();
        // Without pixels and at the end of a prefix, the scan may end well and yet too early.
        let complete = header.pixels.is_some() || wanted == input.len || (head.len() as u64) < wanted;
        if complete || !matches!(broken, None | Some(DataSetError::Ends(_))) {
            return Ok((head.len(), broken));
        }
        if wanted >= MAX_HEADER {
            return Err(unexpected(
                "the start of the pixel data",
                format!("the first {wanted} bytes"),
                "none there",
            ));
        }
        wanted = (wanted * 4).min(input.len);
    }
}
