//! The bytes of a tar file that can only be read from its start: unpacked as they come, and not without end.

use super::Kind;
use super::bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are read at a time.
const PORTION: usize = 1 << 18;

/// As much may come of any packed file, and beyond that this multiple of what was read of it. CT shrinks to a half;
/// label masks to a hundredth, but they are small.
const FREE: u64 = 4 << 30;
const MULTIPLE: u64 = 200;

/// Where the bytes of a stream come from.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub bytes: Bytes,
    /// Whether they are a deflated member of a zip file.
    pub deflated: bool,
}

/// The tar file in `raw`, and in `position` how many bytes of `raw` were read.
pub(super) fn open(raw: &Raw, kind: Kind, position: &Arc<AtomicU64>) -> Box<dyn Read + Send> {
    let packed = Counted {
        inner: raw.bytes.reader(),
        count: Arc::clone(position),
    };
    let packed = BufReader::with_capacity(PORTION, packed);
    if raw.deflated {
        let inflated = BufReader::with_capacity(PORTION, DeflateDecoder::new(packed));
        bounded(unpack(inflated, kind), position)
    } else {
        bounded(unpack(packed, kind), position)
    }
}

fn unpack<'a>(packed: impl BufRead + Send + 'a, kind: Kind) -> Box<dyn Read + Send + 'a> {
    match kind {
        Kind::TarGz => Box::new(BufReader::with_capacity(PORTION, MultiGzDecoder::new(packed))),
        Kind::TarZst => Box::new(ZstdFrames::new(packed)),
        Kind::Tar | Kind::Zip => Box::new(packed),
    }
}

fn bounded<'a>(inner: Box<dyn Read + Send + 'a>, read: &Arc<AtomicU64>) -> Box<dyn Read + Send + 'a> {
    Box::new(Bounded {
        inner,
        given: 0,
        read: Arc::clone(read),
    })
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Ends what grows beyond all measure.
struct Bounded<R> {
    inner: R,
    given: u64,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.given += read as u64;
        let packed = self.read.load(Ordering::Relaxed);
        if self.given > FREE.saturating_add(packed.saturating_mul(MULTIPLE)) {
            let reason = format!("{packed} bytes unpack to more than {} bytes", self.given);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        Ok(read)
    }
}

/// All frames of a Zstandard file, as if they were one.
struct ZstdFrames<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            in_frame: false,
        }
    }

    /// Begins the next frame; `false` at the end. Skippable frames hold nothing.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(self.fault(&error)),
            }
        }
        Ok(false)
    }

    /// A frame that cannot be decoded: cut off, where nothing is left.
    fn fault(&mut self, error: &FrameDecoderError) -> io::Error {
        let kind = match self.source.fill_buf() {
            Ok([]) => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error.to_string())
    }

    fn end(&mut self) -> io::Result<()> {
        self.in_frame = false;
        let expected = self.decoder.get_checksum_from_data();
        if expected.is_some() && expected != self.decoder.get_calculated_checksum() {
            let reason = "a Zstandard frame's checksum does not match";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.in_frame || self.begin()? {
            while self.decoder.can_collect() < buffer.len() && !self.decoder.is_finished() {
                let more = BlockDecodingStrategy::UptoBytes(buffer.len() - self.decoder.can_collect());
                if let Err(error) = self.decoder.decode_blocks(&mut self.source, more) {
                    return Err(self.fault(&error));
                }
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.end()?;
        }
        Ok(0)
    }
}
