//! Data elements in a byte slice: tag, VR, length, and how to step over a value.
//!
//! Nothing is copied and nothing is allocated: an [`Element`] is three numbers. The reader forgives what
//! pydicom forgives (PS3.5 section 7 says what it should have been): a missing or odd VR, odd lengths,
//! explicit elements where implicit ones were announced, trailing padding.

use dicom_core::Tag;

use crate::error::DataSetError;

/// The length field that says "until the delimiter".
pub(crate) const UNDEFINED: u32 = u32::MAX;

/// Deepest nesting of sequences that is followed; real files stay below ten.
const MAX_DEPTH: u32 = 64;

/// Group of items and delimiters (PS3.5 section 7.5), whose elements have no VR in any encoding.
pub(crate) const DELIMITERS: u16 = 0xFFFE;
pub(crate) const ITEM: Tag = Tag(DELIMITERS, 0xE000);
const ITEM_DELIMITATION_ITEM: Tag = Tag(DELIMITERS, 0xE00D);
const SEQUENCE_DELIMITATION_ITEM: Tag = Tag(DELIMITERS, 0xE0DD);

/// How the elements of a data set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// Each element names its VR.
    pub explicit: bool,
    /// Numbers are big endian (retired, still in archives).
    pub big_endian: bool,
}

impl Encoding {
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    pub fn tag(self, bytes: [u8; 4]) -> Tag {
        let [a, b, c, d] = bytes;
        Tag(self.u16([a, b]), self.u16([c, d]))
    }
}

/// One element's header; the value starts at `value` in the bytes that were read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    pub tag: Tag,
    /// Length in bytes, or [`UNDEFINED`].
    pub length: u32,
    /// Offset of the value.
    pub value: usize,
}

/// A position in the bytes of a data set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub bytes: &'a [u8],
    pub pos: usize,
    pub encoding: Encoding,
}

/// The VRs of PS3.5 section 6.2 whose length field has 32 bits, after two reserved bytes.
fn has_long_length(vr: [u8; 2]) -> bool {
    matches!(
        &vr,
        b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
    )
}

/// Whether two bytes can be a VR.
pub(crate) fn is_vr(vr: [u8; 2]) -> bool {
    vr[0].is_ascii_uppercase() && vr[1].is_ascii_uppercase()
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], pos: usize, encoding: Encoding) -> Self {
        Self { bytes, pos, encoding }
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk::<N>().copied()
    }

    /// The next element's header, or `None` when less than one header is left. Afterwards `pos` is at
    /// the value.
    pub fn element(&mut self) -> Option<Element> {
        let head: [u8; 8] = self.array(self.pos)?;
        let [t0, t1, t2, t3, l0, l1, l2, l3] = head;
        let tag = self.encoding.tag([t0, t1, t2, t3]);
        let vr = [l0, l1];
        // Delimiters have no VR in any encoding. A VR that is none means that this element was written
        // implicitly, which some writers mix in; pydicom reads it the same way.
        let element = if tag.group() == DELIMITERS || !self.encoding.explicit || !is_vr(vr) {
            Element {
                tag,
                length: self.encoding.u32([l0, l1, l2, l3]),
                value: self.pos + 8,
            }
        } else if has_long_length(vr) {
            let length = self.encoding.u32(self.array(self.pos + 8)?);
            Element {
                tag,
                length,
                value: self.pos + 12,
            }
        } else {
            Element {
                tag,
                length: u32::from(self.encoding.u16([l2, l3])),
                value: self.pos + 8,
            }
        };
        self.pos = element.value;
        Some(element)
    }

    /// The value of an element of defined length.
    pub fn value(&self, element: &Element) -> Result<&'a [u8], DataSetError> {
        let end = element.value.saturating_add(element.length as usize);
        self.bytes
            .get(element.value..end)
            .ok_or(DataSetError::Ends(element.tag))
    }

    /// Steps over the value of `element`, which was just read, nested sequences included.
    pub fn skip(&mut self, element: &Element) -> Result<(), DataSetError> {
        self.skip_at(element, 0)
    }

    fn skip_at(&mut self, element: &Element, depth: u32) -> Result<(), DataSetError> {
        if element.length != UNDEFINED {
            self.pos = element.value + self.value(element)?.len();
            return Ok(());
        }
        let mut items = Items::new(*self, element, depth)?;
        while items.next_item()?.is_some() {}
        self.pos = items.reader.pos;
        Ok(())
    }

    /// Steps over elements up to and including the item delimiter.
    fn skip_item(&mut self, depth: u32) -> Result<(), DataSetError> {
        loop {
            let Some(element) = self.element() else {
                return Err(DataSetError::Ends(ITEM));
            };
            match element.tag {
                ITEM_DELIMITATION_ITEM => return Ok(()),
                // The item delimiter was forgotten: leave the end of the sequence to the caller.
                SEQUENCE_DELIMITATION_ITEM => {
                    self.pos -= 8;
                    return Ok(());
                }
                _ => self.skip_at(&element, depth)?,
            }
        }
    }

    /// Takes the encoding that the bytes at the position show, where they show one. An element of VR UN
    /// holds implicit items (PS3.5 6.2.2), yet some writers put explicit ones there, and the reverse.
    pub fn guess_encoding(&mut self) {
        if let Some(vr) = self.array::<2>(self.pos + 4) {
            self.encoding.explicit = is_vr(vr);
        }
    }
}

/// The items of a sequence, one after the other.
pub(crate) struct Items<'a> {
    reader: Reader<'a>,
    end: Option<usize>,
    depth: u32,
}

impl<'a> Items<'a> {
    /// The items of `element`, whose header `reader` has just read.
    pub fn of(reader: Reader<'a>, element: &Element) -> Result<Self, DataSetError> {
        Self::new(reader, element, 0)
    }

    fn new(mut reader: Reader<'a>, element: &Element, depth: u32) -> Result<Self, DataSetError> {
        if depth >= MAX_DEPTH {
            return Err(DataSetError::TooDeep { most: MAX_DEPTH });
        }
        reader.pos = element.value;
        let end = match element.length {
            UNDEFINED => None,
            _ => Some(element.value + reader.value(element)?.len()),
        };
        Ok(Self { reader, end, depth })
    }

    /// A reader over the elements of the next item (its bytes end where the item ends), or `None` after
    /// the last.
    pub fn next_item(&mut self) -> Result<Option<Reader<'a>>, DataSetError> {
        let encoding = self.reader.encoding;
        loop {
            if self.end.is_some_and(|end| self.reader.pos + 8 > end) {
                return Ok(None);
            }
            let element = self.reader.element().ok_or(DataSetError::Ends(ITEM))?;
            match element.tag {
                ITEM => break self.item(&element, encoding).map(Some),
                SEQUENCE_DELIMITATION_ITEM => return Ok(None),
                // A stray delimiter of an item whose length was given.
                ITEM_DELIMITATION_ITEM => continue,
                tag => return Err(DataSetError::NoItem(tag)),
            }
        }
    }

    fn item(&mut self, element: &Element, encoding: Encoding) -> Result<Reader<'a>, DataSetError> {
        let mut inner = Reader::new(self.reader.bytes, element.value, encoding);
        inner.guess_encoding();
        let inner_encoding = inner.encoding;
        if element.length == UNDEFINED {
            inner.skip_item(self.depth + 1)?;
        } else {
            inner.pos = element.value + self.reader.value(element)?.len();
        }
        self.reader.pos = inner.pos;
        Ok(Reader::new(
            &self.reader.bytes[..inner.pos],
            element.value,
            inner_encoding,
        ))
    }
}
