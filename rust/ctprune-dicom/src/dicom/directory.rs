//! The files that a DICOMDIR lists (PS3.3 annex F).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::element::{Items, Reader};
use super::file_meta::FileMeta;
use super::value::trimmed;
use crate::error::{ReadError, unexpected};
use crate::open::open_regular;

/// A DICOMDIR of a million images has some 500 MB.
const MAX_BYTES: u64 = 1 << 30;

/// Record In-use Flag (0004,1410) of a record whose file is no longer to be used (PS3.3 F.3.2.2).
const INACTIVE: u16 = 0x0000;

/// The components of each Referenced File ID (0004,1500), in the order of the records.
pub fn listed_files(path: &Path) -> Result<Vec<Vec<String>>, ReadError> {
    let file = open_regular(path).map_err(|error| ReadError::io("the DICOMDIR cannot be opened", &error))?;
    listed_in(&read_whole(file)?)
}

/// The same for a DICOMDIR in memory.
pub fn listed_in(bytes: &[u8]) -> Result<Vec<Vec<String>>, ReadError> {
    let mut meta = FileMeta::default();
    meta.read(bytes).ok_or(ReadError::Invalid("not a DICOM file"))?;
    let syntax = meta.transfer_syntax(bytes);
    let mut reader = Reader::new(bytes, meta.dataset, syntax.encoding);
    while let Some(element) = reader.element() {
        if element.tag == tags::DIRECTORY_RECORD_SEQUENCE {
            let mut items = Items::of(reader, &element)?;
            let mut files = Vec::new();
            while let Some(record) = items.next_item()? {
                files.extend(file_of(record)?);
            }
            return Ok(files);
        }
        reader.skip(&element)?;
    }
    Err(unexpected(
        "the DICOMDIR",
        format!("an element {}", tags::DIRECTORY_RECORD_SEQUENCE),
        "none",
    ))
}

fn read_whole(file: File) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ReadError::io("the DICOMDIR cannot be read", &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ReadError::TooLarge {
            what: "the bytes of the DICOMDIR".into(),
            limit: MAX_BYTES,
        });
    }
    Ok(bytes)
}

/// The file of one record; `None` for a patient, a study, and what is no longer in use.
fn file_of(mut record: Reader<'_>) -> Result<Option<Vec<String>>, ReadError> {
    const IN_USE: Tag = tags::RECORD_IN_USE_FLAG;
    let mut file = None;
    while let Some(element) = record.element() {
        match element.tag {
            IN_USE => {
                let flag = record.value(&element)?.first_chunk::<2>();
                if flag.is_some_and(|&flag| record.encoding.u16(flag) == INACTIVE) {
                    return Ok(None);
                }
            }
            tags::REFERENCED_FILE_ID => {
                let value = record.value(&element)?;
                let parts = value.split(|&byte| byte == b'\\');
                let names = parts.map(|part| String::from_utf8_lossy(trimmed(part)).into_owned());
                let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
                file = (!names.is_empty()).then_some(names);
            }
            _ => {}
        }
        record.skip(&element)?;
    }
    Ok(file)
}
