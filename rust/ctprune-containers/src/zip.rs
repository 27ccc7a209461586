//! The central directory of a zip file (APPNOTE 4.3.12) to an index.

use super::bytes::Bytes;
use super::index::{Extent, Index, Member, failed};
use super::names::{is_folder, member_name};
use super::{Kind, MAX_MEMBERS, corrupt};
use ctprune_dicom::code::Code;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::Refusal;
use rawzip::{CompressionMethod, ReaderAt, ZipFileHeaderRecord, ZipLocator};

/// Bytes of a local header before its name.
pub(super) const LOCAL_HEADER: u64 = 30;

const OVERLAP: &str = "overlaps another member: the archive is damaged or was made to do harm";

/// The members of a zip file.
pub(super) fn index(bytes: &Bytes) -> Result<Index, ReadError> {
    index_of(bytes, bytes.len())
}

/// The members of a zip file of `len` bytes.
pub(super) fn index_of<R: ReaderAt>(source: &R, len: u64) -> Result<Index, ReadError> {
    let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE.max(1 << 18)];
    let archive = ZipLocator::new()
        .locate_in_reader(source, &mut buffer, len)
        .map_err(|(_, error)| broken(&error))?;
    let announced = archive.entries_hint();
    if announced > MAX_MEMBERS as u64 {
        return Err(too_many());
    }
    let directory = archive.directory_offset();
    let mut records = Records::default();
    let mut entries = archive.entries(&mut buffer);
    while let Some(record) = entries.next_entry().map_err(|error| broken(&error))? {
        if records.count == MAX_MEMBERS {
            return Err(too_many());
        }
        records.add(&record);
    }
    if records.count as u64 != announced {
        let reason = format!(
            "expected {announced} members, found {}: download or copy it again",
            records.count
        );
        return Err(corrupt(Kind::Zip, reason));
    }
    Ok(records.into_index(directory))
}

fn too_many() -> ReadError {
    let reason = format!("more than {MAX_MEMBERS} members: unpack it and name the folder");
    corrupt(Kind::Zip, reason)
}

fn broken(error: &rawzip::Error) -> ReadError {
    let reason = match error.kind() {
        rawzip::ErrorKind::IO(error) => return ReadError::io("the file cannot be read", error),
        rawzip::ErrorKind::MissingEndOfCentralDirectory => "its end is missing".into(),
        _ => error.to_string(),
    };
    corrupt(Kind::Zip, format!("{reason}: download or copy it again"))
}

#[derive(Default)]
struct Records {
    count: usize,
    members: Vec<Member>,
    /// First byte, and the least that can be one past the last, of each member.
    extents: Vec<(u64, u64)>,
}

impl Records {
    fn add(&mut self, record: &ZipFileHeaderRecord<'_>) {
        self.count += 1;
        let raw = record.file_path();
        let raw = raw.as_bytes();
        if is_folder(raw) && record.uncompressed_size_hint() == 0 {
            return;
        }
        let size = record.uncompressed_size_hint();
        let (start, stored) = (record.local_header_offset(), record.compressed_size_hint());
        let member = match member_name(raw) {
            Ok(name) => Member {
                name,
                size,
                extent: extent_of(record),
            },
            Err(bad) => Member::unnamed(bad, size),
        };
        self.members.push(member);
        let least = LOCAL_HEADER + raw.len() as u64;
        self.extents
            .push((start, start.saturating_add(least).saturating_add(stored)));
    }

    fn into_index(mut self, directory: u64) -> Index {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_by_key(|&number| self.extents[number]);
        // As far as any member before reaches, and which one that is.
        let mut reach: Option<(u64, usize)> = None;
        for &number in &order {
            let (start, end) = self.extents[number];
            if let Some((reached, by)) = reach
                && start < reached
            {
                self.members[number].extent = Err(failed(OVERLAP));
                self.members[by].extent = Err(failed(OVERLAP));
            }
            if reach.is_none_or(|(reached, _)| end > reached) {
                reach = Some((end, number));
            }
        }
        for (member, &(_, end)) in self.members.iter_mut().zip(&self.extents) {
            if end > directory {
                member.extent = Err(failed("lies outside of the archive: download or copy it again"));
            }
        }
        // In the order in which they lie on disk.
        let mut members: Vec<Option<Member>> = self.members.into_iter().map(Some).collect();
        let in_order = order.into_iter().filter_map(|number| members[number].take());
        Index::new(in_order.collect(), None)
    }
}

fn extent_of(record: &ZipFileHeaderRecord<'_>) -> Result<Extent, Refusal> {
    let method = record.compression_method();
    let (size, stored) = (record.uncompressed_size_hint(), record.compressed_size_hint());
    if record.flags().is_encrypted() || method == CompressionMethod::AES {
        return Err(Refusal::Failed(ReadError::other(
            Code::Encrypted,
            "encrypted: unpack the archive with its password and name the folder",
        )));
    }
    if record.mode().is_symlink() {
        return Err(Refusal::skipped(Code::Linked, "link within an archive"));
    }
    let deflated = match method {
        CompressionMethod::STORE if size == stored => false,
        CompressionMethod::STORE => {
            return Err(failed(
                "the two sizes of an uncompressed member differ: the archive is damaged",
            ));
        }
        CompressionMethod::DEFLATE => true,
        other => {
            let name = other
                .name()
                .map_or(other.as_u16().to_string(), str::to_ascii_lowercase);
            let reason =
                format!("compressed with {name}, which is not supported: repack the archive with deflate");
            return Err(Refusal::Failed(ReadError::other(Code::Container, reason)));
        }
    };
    Ok(Extent {
        offset: record.local_header_offset(),
        stored,
        deflated,
        crc: Some(record.crc32()),
    })
}

/// Where the content of a member begins, by its local header.
pub(super) fn content_offset(bytes: &Bytes, extent: Extent) -> Result<u64, ReadError> {
    let mut header = [0; LOCAL_HEADER as usize];
    let read = bytes
        .read_full_at(&mut header, extent.offset)
        .map_err(|error| ReadError::io("the archive cannot be read", &error))?;
    if read < header.len() || !header.starts_with(b"PK\x03\x04") {
        return Err(ReadError::Invalid(
            "no member where the archive lists one: download or copy it again",
        ));
    }
    let length = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    // Offset, header, name, extra field.
    Ok(extent.offset + LOCAL_HEADER + length(26) + length(28))
}
