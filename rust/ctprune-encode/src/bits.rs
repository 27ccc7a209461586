//! Bits to bytes for the entropy-coded data of JPEG and JPEG-LS, most significant first.

/// What keeps a byte 0xFF from being read as the start of a marker, and what fills the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuffing {
    /// JPEG: a zero byte after each 0xFF (ITU-T T.81 F.1.2.3), ones at the end.
    Byte,
    /// JPEG-LS: a zero bit after each 0xFF (ITU-T T.87 A.1), zeros at the end.
    Bit,
}

/// Appends bits to a stream.
pub struct BitWriter<'a> {
    stream: &'a mut Vec<u8>,
    stuffing: Stuffing,
    pending: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    pub fn new(stream: &'a mut Vec<u8>, stuffing: Stuffing) -> Self {
        Self {
            stream,
            stuffing,
            pending: 0,
            count: 0,
        }
    }

    /// The `length` low bits of `bits`, which has no others; 48 at most, as fewer than 8 are pending between
    /// calls.
    pub fn put(&mut self, bits: u32, length: u32) {
        self.pending = self.pending << length | u64::from(bits);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.pending >> self.count) as u8;
            self.stream.push(byte);
            if byte == 0xFF {
                self.stuff();
            }
        }
    }

    /// Puts zeros between the byte just written and the bits still pending.
    fn stuff(&mut self) {
        self.pending &= (1 << self.count) - 1;
        self.count += match self.stuffing {
            Stuffing::Byte => 8,
            Stuffing::Bit => 1,
        };
    }

    /// Fills the last byte; what is stuffed after a last 0xFF is written too.
    pub fn finish(mut self) {
        let missing = (8 - self.count) % 8;
        match self.stuffing {
            Stuffing::Byte => self.put((1 << missing) - 1, missing),
            Stuffing::Bit => self.put(0, missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(stuffing: Stuffing, bits: &[(u32, u32)]) -> Vec<u8> {
        let mut stream = Vec::new();
        let mut writer = BitWriter::new(&mut stream, stuffing);
        bits.iter().for_each(|&(bits, length)| writer.put(bits, length));
        writer.finish();
        stream
    }

    #[test]
    fn a_zero_byte_or_a_zero_bit_follows_ff() {
        let bits = [(0x12FF, 16), (0b101, 3)];
        assert_eq!(written(Stuffing::Byte, &bits), [0x12, 0xFF, 0x00, 0b1011_1111]);
        assert_eq!(written(Stuffing::Bit, &bits), [0x12, 0xFF, 0b0101_0000]);
    }

    #[test]
    fn ff_is_never_last() {
        assert_eq!(written(Stuffing::Byte, &[(0b111, 3)]), [0xFF, 0x00]);
        assert_eq!(written(Stuffing::Bit, &[(0xFF, 8)]), [0xFF, 0x00]);
        assert_eq!(written(Stuffing::Bit, &[(0xFFFF, 15 + 1)]), [0xFF, 0x7F, 0x80]);
    }

    #[test]
    fn long_codes_pass_whole() {
        assert_eq!(
            written(Stuffing::Bit, &[(1, 7), (1, 48)])[..7],
            [2, 0, 0, 0, 0, 0, 2]
        );
    }
}
