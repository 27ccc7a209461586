//! DICOM files to slices.
//!
//! A file is scanned once up to its pixel data ([`header`]), then either skipped ([`skip`]) or reported frame
//! by frame ([`slices`]). MONOCHROME1 is left as it is: its Hounsfield units are the same, only the display is
//! inverted. Text that could identify a patient is never read.

mod codec;
mod element;
mod file_meta;
mod frames;
mod functional_groups;
mod header;
mod inflate;
mod memory;
mod skip;
mod slices;
mod source;
mod stored;
mod transfer_syntax;
mod value;

use std::path::Path;

pub use self::file_meta::looks_like_dicom;
pub use self::memory::Buffers;

use self::element::{Broken, Reader};
use self::file_meta::{FileMeta, corrected};
use self::header::Header;
use self::inflate::inflate;
use self::memory::{AlignedBytes, FrameBuffers};
use self::skip::refusal;
use self::slices::{Dataset, Object, each_frame};
use self::source::{HEADER_PREFIX, MAX_HEADER, OpenFile, Source, WHOLE_FILE_LIMIT};
use crate::slice::{Event, ReadOptions, Refusal, SliceInfo};

/// Reads the DICOM file at `path` and reports each of its frames to `each`, or why there is none.
///
/// At least one event is reported. Bad input never panics, the file is never held whole above 64 MiB, and no
/// buffer is larger than `options.max_slice_bytes` allows.
pub fn read_file(path: &Path, options: &ReadOptions, buffers: &mut Buffers, each: &mut dyn FnMut(Event<'_>)) {
    buffers.header.clear();
    if let Err(refusal) = read_opened(path, options, buffers, each) {
        // What was understood before the refusal; nothing at all in a file that is not DICOM.
        let info = &buffers.header.info;
        let info = (*info != SliceInfo::default()).then_some(info);
        each(Event::Refused { info, refusal });
    }
    buffers.trim();
}

fn read_opened(
    path: &Path,
    options: &ReadOptions,
    buffers: &mut Buffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    let Buffers {
        header,
        meta,
        file: bytes,
        frames,
    } = buffers;
    let mut file = OpenFile::open(path).map_err(|e| failed(format!("the file cannot be opened: {e}")))?;
    let (len, broken) = scan_file(&mut file, bytes, meta, header)?;
    let bytes = bytes.bytes(len);
    let mut syntax = meta.transfer_syntax(bytes);
    let whole = len as u64 == file.len;
    if !syntax.deflated {
        let source = if whole {
            Source::Memory(bytes)
        } else {
            Source::File(&mut file)
        };
        return read_scanned(
            header,
            meta,
            broken,
            Dataset {
                syntax,
                bytes,
                source,
            },
            options,
            frames,
            each,
        );
    }
    let inflated = inflate(&mut file, meta.dataset, options.max_slice_bytes).map_err(failed)?;
    syntax.encoding = corrected(syntax.encoding, &inflated);
    let broken = header.scan(Reader::new(&inflated, 0, syntax.encoding)).err();
    let dataset = Dataset {
        syntax,
        bytes: &inflated,
        source: Source::Memory(&inflated),
    };
    read_scanned(header, meta, broken, dataset, options, frames, each)
}

/// Reads and scans as much of the file as is needed: all of a small one, of a large one what comes before the
/// pixels. Returns how many bytes are in `bytes`, and why the scan ended early. The data set of a deflated
/// file is left alone.
fn scan_file(
    file: &mut OpenFile,
    bytes: &mut AlignedBytes,
    meta: &mut FileMeta,
    header: &mut Header,
) -> Result<(usize, Option<Broken>), Refusal> {
    let mut wanted = if file.len <= WHOLE_FILE_LIMIT as u64 {
        file.len
    } else {
        HEADER_PREFIX
    };
    loop {
        let read = file.read_at(0, wanted as usize, bytes);
        let head = read.map_err(|e| failed(format!("the file cannot be read: {e}")))?;
        meta.read(head)
            .ok_or_else(|| failed("a DICOM file was expected, this is none"))?;
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
        // A pixel-less large file ends without an error wherever its prefix happens to end.
        let complete = header.pixels.is_some() || wanted == file.len || head.len() < wanted as usize;
        if complete || !matches!(broken, None | Some(Broken::Ends(_))) {
            return Ok((head.len(), broken));
        }
        if wanted >= MAX_HEADER {
            return Err(failed(format!(
                "no pixel data was found in the first {wanted} bytes"
            )));
        }
        wanted = (wanted * 4).min(file.len);
    }
}

/// Reports the slices of a scanned data set, or returns why it has none.
fn read_scanned(
    header: &mut Header,
    meta: &FileMeta,
    broken: Option<Broken>,
    dataset: Dataset<'_>,
    options: &ReadOptions,
    frames: &mut FrameBuffers,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), Refusal> {
    if let Some(refusal) = refusal(header, &meta.media_storage_sop_class_uid, options, broken) {
        return Err(refusal);
    }
    match header.pixels {
        Some(pixels) => each_frame(
            &mut Object {
                header,
                dataset,
                pixels,
            },
            options,
            frames,
            each,
        ),
        None => Err(failed("pixel data is missing")),
    }
}

fn failed(reason: impl Into<String>) -> Refusal {
    Refusal::Failed(reason.into())
}
