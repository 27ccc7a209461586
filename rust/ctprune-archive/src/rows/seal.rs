//! A checksum inside a Parquet file: one flipped bit anywhere, the footer included, is noticed when it is read.
//!
//! Parquet's own checksums leave out the footer and the headers of pages. Readers find everything by the footer at
//! the end of a file, so a few bytes right before it disturb none of them: a mark, and the SHA-256 of all other bytes.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

const MARK: &[u8] = b"ctprune sha-256:";
const DIGEST_BYTES: usize = 32;
const SEAL_BYTES: u64 = (MARK.len() + DIGEST_BYTES) as u64;

/// The length of the footer, and Parquet's magic.
const TAIL_BYTES: u64 = 8;
const MAGIC: &[u8] = b"PAR1";

const BLOCK: usize = 1 << 20;

/// Writes a Parquet file; the seal goes in before its footer.
pub struct SealingWriter {
    file: BufWriter<File>,
    digest: Sha256,
    /// What may be the footer, or come right before it.
    tail: Option<Vec<u8>>,
}

impl SealingWriter {
    /// Write to an empty file.
    pub fn new(file: File) -> Self {
        Self {
            file: BufWriter::with_capacity(BLOCK, file),
            digest: Sha256::new(),
            tail: None,
        }
    }

    /// All rows are written: what comes now is kept until the footer is known.
    pub fn begin_tail(&mut self) {
        self.tail.get_or_insert_default();
    }

    /// Write the seal and the footer.
    pub fn seal(mut self) -> io::Result<()> {
        let tail = self.tail.take().unwrap_or_default();
        let start = footer_bytes(&tail)
            .and_then(|footer| tail.len().checked_sub(footer as usize))
            .ok_or_else(|| io::Error::other("expected a Parquet footer at the end"))?;
        self.digest.update(&tail);
        let (before, footer) = tail.split_at(start);
        self.file.write_all(before)?;
        self.file.write_all(MARK)?;
        self.file.write_all(&self.digest.finalize())?;
        self.file.write_all(footer)?;
        self.file.flush()
    }
}

impl Write for SealingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tail {
            Some(tail) => tail.extend_from_slice(bytes),
            None => {
                self.digest.update(bytes);
                self.file.write_all(bytes)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What a file's seal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// There is none.
    Missing,
    /// All bytes are those that were sealed.
    Intact,
    /// Some byte is another.
    Broken,
}

/// The SHA-256 that a file's seal has, in hexadecimal; `None` where there is no seal. Nothing is compared.
pub fn digest(file: &File) -> io::Result<Option<String>> {
    let mut file = BufReader::new(file);
    let size = file.seek(SeekFrom::End(0))?;
    let Some(tail_start) = size.checked_sub(TAIL_BYTES) else {
        return Ok(None);
    };
    let tail: [u8; TAIL_BYTES as usize] = read_at(&mut file, tail_start)?;
    let start = footer_bytes(&tail).and_then(|footer| size.checked_sub(footer + SEAL_BYTES));
    let Some(start) = start else {
        return Ok(None);
    };
    let seal: [u8; SEAL_BYTES as usize] = read_at(&mut file, start)?;
    let (mark, digest) = seal.split_at(MARK.len());
    Ok((mark == MARK).then(|| digest.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Reads a whole file and compares its seal.
pub fn check(file: &File) -> io::Result<Seal> {
    let mut file = BufReader::with_capacity(BLOCK, file);
    let size = file.seek(SeekFrom::End(0))?;
    let Some(tail_start) = size.checked_sub(TAIL_BYTES) else {
        return Ok(Seal::Missing);
    };
    let tail: [u8; TAIL_BYTES as usize] = read_at(&mut file, tail_start)?;
    let seal_start = footer_bytes(&tail)
        .and_then(|footer| size.checked_sub(footer))
        .and_then(|footer_start| footer_start.checked_sub(SEAL_BYTES));
    let Some(seal_start) = seal_start else {
        return Ok(Seal::Missing);
    };
    let seal: [u8; SEAL_BYTES as usize] = read_at(&mut file, seal_start)?;
    let (mark, expected) = seal.split_at(MARK.len());
    if mark != MARK {
        return Ok(Seal::Missing);
    }
    let mut digest = Sha256::new();
    file.rewind()?;
    update(&mut digest, (&mut file).take(seal_start))?;
    file.seek(SeekFrom::Start(seal_start + SEAL_BYTES))?;
    update(&mut digest, &mut file)?;
    let intact = digest.finalize().as_slice() == expected;
    Ok(if intact { Seal::Intact } else { Seal::Broken })
}

/// Bytes of the footer with its length and magic, from the end of a file.
fn footer_bytes(end: &[u8]) -> Option<u64> {
    let (_, tail) = end.split_last_chunk::<{ TAIL_BYTES as usize }>()?;
    let (length, magic) = tail.split_first_chunk::<4>()?;
    (magic == MAGIC).then(|| u64::from(u32::from_le_bytes(*length)) + TAIL_BYTES)
}

fn read_at<const N: usize>(file: &mut (impl Read + Seek), start: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn update(digest: &mut Sha256, mut from: impl Read) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            return Ok(());
        }
        digest.update(&block[..read]);
    }
}
