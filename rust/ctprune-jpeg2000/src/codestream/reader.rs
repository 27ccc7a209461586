//! Big-endian numbers from a slice.

use crate::Error;

/// What is left of a codestream or a segment.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    /// The parameters of a marker segment, behind its length.
    pub fn segment(&mut self) -> Result<Reader<'a>, Error> {
        let length = usize::from(self.u16()?);
        let length = length
            .checked_sub(2)
            .ok_or(Error::Malformed("a marker segment of less than two bytes"))?;
        self.take(length).map(Reader)
    }
}
