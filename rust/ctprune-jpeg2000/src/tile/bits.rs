//! Bits of packet headers (ISO/IEC 15444-1 B.10.1).

use crate::Error;

/// Bits from the most significant on; a zero bit is stuffed behind each 0xFF.
pub(crate) struct HeaderBits<'a> {
    bytes: &'a [u8],
    /// Bytes taken so far.
    taken: usize,
    current: u8,
    left: u32,
}

impl<'a> HeaderBits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        HeaderBits {
            bytes,
            taken: 0,
            current: 0,
            left: 0,
        }
    }

    pub fn bit(&mut self) -> Result<u32, Error> {
        if self.left == 0 {
            self.left = if self.current == 0xFF { 7 } else { 8 };
            self.current = *self.bytes.get(self.taken).ok_or(Error::Truncated)?;
            self.taken += 1;
        }
        self.left -= 1;
        Ok(u32::from(self.current >> self.left) & 1)
    }

    pub fn bits(&mut self, count: u32) -> Result<u32, Error> {
        (0..count).try_fold(0, |value, _| Ok(value << 1 | self.bit()?))
    }

    /// What follows the header, which ends on a whole byte, and not with 0xFF.
    pub fn rest(self) -> Result<&'a [u8], Error> {
        let end = self.taken + usize::from(self.current == 0xFF);
        self.bytes.get(end..).ok_or(Error::Truncated)
    }
}
