//! Where the data set starts and how it is written: preamble, file meta information, transfer syntax.

use dicom_dictionary_std::tags;

use super::element::{Encoding, Reader, is_vr};
use super::transfer_syntax::{self, TransferSyntax};
use super::value::set_uid;

const MAGIC_AT: usize = 128;
const MAGIC: &[u8] = b"DICM";
const LITTLE: Encoding = Encoding {
    explicit: true,
    big_endian: false,
};

/// What comes before the data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileMeta {
    /// Transfer Syntax UID as written; empty when there is none.
    pub transfer_syntax_uid: String,
    /// Media Storage SOP Class UID; empty when there is none.
    pub media_storage_sop_class_uid: String,
    /// Offset of the data set.
    pub dataset: usize,
}

/// Whether the first bytes of a file (132 or more; fewer only if the file is shorter) look like DICOM: the
/// magic after the preamble, or, without them, an element with which data sets begin.
pub fn looks_like_dicom(head: &[u8]) -> bool {
    head.get(MAGIC_AT..MAGIC_AT + 4) == Some(MAGIC) || bare_encoding(head).is_some()
}

/// Encoding of a data set or file meta group that begins at the first byte, without preamble.
///
/// The first group is 0002 (meta) or 0008 (data set), its element is a low one, and what follows is a VR
/// or a short length: eight bytes that text and images do not begin with.
fn bare_encoding(head: &[u8]) -> Option<Encoding> {
    let &[a, b, c, d, v0, v1, l0, l1] = head.first_chunk::<8>()?;
    let explicit = is_vr([v0, v1]);
    for big_endian in [false, true] {
        let encoding = Encoding { explicit, big_endian };
        let known = matches!(encoding.u16([a, b]), 0x0002 | 0x0008) && encoding.u16([c, d]) <= 0x0100;
        let length = if explicit {
            u32::from(encoding.u16([l0, l1]))
        } else {
            encoding.u32([v0, v1, l0, l1])
        };
        if known && length <= 1024 {
            return Some(encoding);
        }
    }
    None
}

impl FileMeta {
    /// Reads the meta group; `None` when this is not DICOM.
    pub fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let start = if bytes.get(MAGIC_AT..MAGIC_AT + 4) == Some(MAGIC) {
            MAGIC_AT + 4
        } else {
            bare_encoding(bytes)?;
            0
        };
        self.transfer_syntax_uid.clear();
        self.media_storage_sop_class_uid.clear();
        self.dataset = start;
        // The meta group is explicit little endian by definition; some writers made it implicit. Its group
        // length is often wrong, so it ends where the group number changes.
        let mut reader = Reader::new(bytes, start, LITTLE);
        while let Some(element) = reader.element().filter(|e| e.tag.group() == 0x0002) {
            let Ok(value) = reader.value(&element) else { break };
            match element.tag {
                tags::MEDIA_STORAGE_SOP_CLASS_UID => set_uid(&mut self.media_storage_sop_class_uid, value),
                tags::TRANSFER_SYNTAX_UID => set_uid(&mut self.transfer_syntax_uid, value),
                _ => {}
            }
            reader.pos = element.value + value.len();
            self.dataset = reader.pos;
        }
        Some(())
    }

    /// How the data set is written: by the transfer syntax, corrected by what its first element shows.
    /// Without a transfer syntax it is what the first element shows, uncompressed.
    pub fn transfer_syntax(&self, bytes: &[u8]) -> TransferSyntax {
        let declared = match self.transfer_syntax_uid.as_str() {
            "" => transfer_syntax::implicit_little_endian(),
            uid => transfer_syntax::lookup(uid),
        };
        if declared.deflated {
            return declared;
        }
        let first = bytes.get(self.dataset..).unwrap_or_default();
        TransferSyntax {
            encoding: corrected(declared.encoding, first),
            ..declared
        }
    }
}

/// `declared` unless the first element of the data set contradicts it.
pub(crate) fn corrected(declared: Encoding, first: &[u8]) -> Encoding {
    let Some(&[a, b, _, _, v0, v1, _, _]) = first.first_chunk::<8>() else {
        return declared;
    };
    let explicit = is_vr([v0, v1]);
    // A group number is small: the one byte order that makes it smaller is the right one.
    let (little, big) = (u16::from_le_bytes([a, b]), u16::from_be_bytes([a, b]));
    let big_endian = if little == big {
        declared.big_endian
    } else {
        big < little
    };
    Encoding { explicit, big_endian }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_and_bare_data_sets_look_like_dicom() {
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM");
        assert!(looks_like_dicom(&file));
        assert!(looks_like_dicom(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"));
        assert!(looks_like_dicom(b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100"));
        assert!(looks_like_dicom(b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100"));
        assert!(looks_like_dicom(b"\x02\x00\x00\x00UL\x04\x00\x00\x00\x00\x00"));
    }

    #[test]
    fn other_files_do_not() {
        for other in [
            &b""[..],
            b"\x89PNG\r\n\x1a\n",
            b"\xFF\xD8\xFF\xE0\0\x10JFIF",
            b"# Read me",
            b"\x08\x00",
        ] {
            assert!(!looks_like_dicom(other));
        }
        assert!(!looks_like_dicom(&[0; 256]));
        assert!(!looks_like_dicom(b"\x08\x00\x05\x00\xff\xff\xff\x7f"));
    }

    #[test]
    fn a_wrong_declaration_gives_way_to_the_first_element() {
        let implicit = Encoding {
            explicit: false,
            big_endian: false,
        };
        assert_eq!(corrected(implicit, b"\x08\x00\x05\x00CS\x0a\x00"), LITTLE);
        assert_eq!(corrected(LITTLE, b"\x08\x00\x05\x00\x0a\x00\x00\x00"), implicit);
        assert!(corrected(LITTLE, b"\x00\x08\x00\x05CS\x00\x0a").big_endian);
    }
}
