//! Files that hold files: zip and tar, read in place.
//!
//! A container is either [indexed](index), so that any member can be read at any time, or a stream of members
//! ([`pass`]), which one pass reads from the first to the last. Nothing is unpacked to disk, and no more of it is in
//! memory than a few members.

pub mod bytes;
pub mod feed;
pub mod index;
pub mod listing;
pub mod names;
pub mod open;
pub mod pass;
mod read;
pub mod remote;
mod stream;
mod tar;
mod zip;

pub use read::{Content, check_size};
pub use remote::read_by_name;

use ctprune_dicom::error::ReadError;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// Members that a container may have, with those of the containers in it: a few bytes can announce billions.
pub const MAX_MEMBERS: usize = 1 << 21;

/// What a compressed member may take in memory beyond the limit of a slice.
const BESIDE_PIXELS: u64 = 64 << 20;

/// As much as can be read of a member that has to be in memory whole.
pub fn member_limit(max_slice_bytes: u64) -> u64 {
    max_slice_bytes.saturating_add(BESIDE_PIXELS)
}

/// A kind of container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Zip.
    Zip,
    /// Tar, plain.
    Tar,
    /// Tar within gzip.
    TarGz,
    /// Tar within Zstandard.
    TarZst,
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A zip file's first member, the end of an empty one, the mark of a split one.
const ZIP: [&[u8]; 3] = [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"];

impl Kind {
    /// The kind of a file with these first bytes, 4096 where it has so many.
    pub fn of(head: &[u8]) -> Option<Kind> {
        if ZIP.iter().any(|mark| head.starts_with(mark)) {
            Some(Kind::Zip)
        } else if head.starts_with(ZSTD) {
            Some(Kind::TarZst)
        } else if head.starts_with(GZIP) {
            let mut first = [0; tar::BLOCK];
            let unpacked = MultiGzDecoder::new(head).read_exact(&mut first);
            (unpacked.is_ok() && tar::is_header(&first)).then_some(Kind::TarGz)
        } else {
            let first = head.first_chunk::<{ tar::BLOCK }>()?;
            tar::is_header(first).then_some(Kind::Tar)
        }
    }

    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Zip => "zip file",
            Kind::Tar => "tar file",
            Kind::TarGz => "gzipped tar file",
            Kind::TarZst => "Zstandard tar file",
        }
    }
}

/// The kind of container that a file's name promises.
pub fn promised_kind(name: &str) -> Option<Kind> {
    const ENDINGS: [(&str, Kind); 7] = [
        (".zip", Kind::Zip),
        (".tar", Kind::Tar),
        (".tar.gz", Kind::TarGz),
        (".tgz", Kind::TarGz),
        (".tar.zst", Kind::TarZst),
        (".tar.zstd", Kind::TarZst),
        (".tzst", Kind::TarZst),
    ];
    let name = name.to_ascii_lowercase();
    let found = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
    found.map(|(_, kind)| *kind)
}

/// A container that breaks the rules of its kind.
fn corrupt(kind: Kind, reason: impl Into<String>) -> ReadError {
    let what = kind.name();
    let reason = reason.into();
    ReadError::Corrupt { what, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_first_bytes_and_promised_by_names() {
        assert_eq!(Kind::of(b"PK\x03\x04..."), Some(Kind::Zip));
        assert_eq!(Kind::of(b"\x28\xb5\x2f\xfd"), Some(Kind::TarZst));
        assert_eq!(Kind::of(b"\x1f\x8b\x08"), None);
        assert_eq!(Kind::of(b""), None);
        assert_eq!(Kind::of(&[0; 4096]), None);
        assert_eq!(promised_kind("A.TAR.GZ"), Some(Kind::TarGz));
        assert_eq!(promised_kind("a.nii.gz"), None);
        assert_eq!(promised_kind("zip"), None);
    }
}
