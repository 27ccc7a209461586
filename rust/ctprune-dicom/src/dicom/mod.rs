//! DICOM files to slices.
//!
//! A file is scanned once up to its pixel data ([`header`]), then either skipped ([`skip`]) or reported frame
//! by frame ([`slices`]). MONOCHROME1 is left as it is: its Hounsfield units are the same, only the display is
//! inverted. Text that could identify a patient is never read.

pub(crate) mod codec;
mod directory;
mod element;
mod file_meta;
mod frames;
mod functional_groups;
mod header;
mod inflate;
mod memory;
mod read;
mod shape;
mod skip;
mod slices;
mod source;
mod stored;
mod transfer_syntax;
mod value;

pub use self::directory::{listed_files, listed_in};
pub use self::file_meta::looks_like_dicom;
pub use self::memory::Buffers;
pub use self::read::{header_decides, read_bytes, read_file, read_open_file, read_part};
