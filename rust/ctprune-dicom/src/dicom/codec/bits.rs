//! Bits of the entropy-coded data of JPEG (ISO/IEC 10918-1 F.2.2.5) and JPEG-LS (ISO/IEC 14495-1 A.1), most
//! significant first.

/// Zero bytes behind the data, so that a refill may always load eight.
const PADDING: usize = 8;

/// The entropy-coded data up to a marker, without its stuffing.
#[derive(Debug, Default)]
pub(crate) struct Interval {
    bytes: Vec<u8>,
}

impl Interval {
    /// Reads up to the next marker of `coded`; returns what begins with that marker.
    ///
    /// A byte FF is followed by a stuffed 00, which is left out here, once, so that the bit reader need not
    /// look at single bytes.
    pub fn read<'a>(&mut self, coded: &'a [u8]) -> &'a [u8] {
        self.bytes.clear();
        let mut rest = coded;
        while let Some(at) = rest.iter().position(|&b| b == 0xFF) {
            self.bytes.extend_from_slice(&rest[..at]);
            match rest.get(at + 1) {
                Some(0x00) => {
                    self.bytes.push(0xFF);
                    rest = &rest[at + 2..];
                }
                // A fill byte before a marker.
                Some(0xFF) => rest = &rest[at + 1..],
                _ => {
                    self.pad();
                    return &rest[at..];
                }
            }
        }
        self.bytes.extend_from_slice(rest);
        self.pad();
        &[]
    }

    /// The same for JPEG-LS, where a single 0 bit is stuffed after a byte FF.
    pub fn read_jpeg_ls(&mut self, coded: &[u8]) {
        self.bytes.clear();
        let (mut buffer, mut filled, mut last) = (0u32, 0, 0);
        for &byte in coded {
            // A byte with its highest bit set can only be a marker after FF.
            if last == 0xFF && byte & 0x80 != 0 {
                break;
            }
            let bits = if last == 0xFF { 7 } else { 8 };
            buffer = buffer << bits | u32::from(byte);
            filled += bits;
            if filled >= 8 {
                filled -= 8;
                self.bytes.push((buffer >> filled) as u8);
            }
            last = byte;
        }
        self.bytes.push((buffer << (8 - filled)) as u8);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.extend_from_slice(&[0; PADDING]);
    }

    /// No data yet, with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity + PADDING),
        }
    }

    /// A reader from the first bit.
    pub fn reader(&self) -> BitReader<'_> {
        BitReader {
            bytes: &self.bytes,
            next: 0,
            buffer: 0,
            filled: 0,
        }
    }
}

/// Reads bits; behind the end there are zeros without end.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Position of the first byte that is not in the buffer.
    next: usize,
    /// The next bits, from the top. Below the `filled` ones lie bits of the byte at `next`.
    buffer: u64,
    filled: u32,
}

impl BitReader<'_> {
    /// Makes at least 56 bits available.
    #[inline]
    pub fn refill(&mut self) {
        // At the end the padding is loaded again and again: zeros, as good as any.
        let at = self.next.min(self.bytes.len() - PADDING);
        let word = self.bytes[at..]
            .first_chunk()
            .map_or(0, |&bytes| u64::from_be_bytes(bytes));
        self.buffer |= word >> self.filled;
        self.next += ((63 - self.filled) / 8) as usize;
        self.filled |= 56;
    }

    /// The next `count` bits (1 to 32), which stay.
    #[inline]
    pub fn peek(&self, count: u32) -> u32 {
        (self.buffer >> (64 - count)) as u32
    }

    /// Number of zeros that come next.
    #[inline]
    pub fn zeros(&self) -> u32 {
        self.buffer.leading_zeros()
    }

    /// Drops `count` bits, which are available.
    #[inline]
    pub fn consume(&mut self, count: u32) {
        self.buffer <<= count;
        self.filled -= count;
    }

    /// Whether more bits were consumed than there were.
    pub fn is_exhausted(&self) -> bool {
        let there = 8 * (self.bytes.len() - PADDING) as u64;
        8 * self.next as u64 - u64::from(self.filled) > there
    }
}

/// A number of `category` bits (F.2.2.1, EXTEND): those with the highest bit clear are negative.
#[inline]
pub(crate) fn extend(bits: u32, category: u32) -> i32 {
    let half = 1 << category >> 1;
    let below = if (bits as i32) < half {
        (1 << category) - 1
    } else {
        0
    };
    bits as i32 - below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffing_goes_and_markers_end_an_interval() {
        let mut interval = Interval::with_capacity(0);
        let rest = interval.read(&[0x12, 0xFF, 0x00, 0x34, 0xFF, 0xFF, 0xD0, 0x56]);
        assert_eq!(rest, [0xFF, 0xD0, 0x56]);
        assert_eq!(interval.bytes[..3], [0x12, 0xFF, 0x34]);
    }

    #[test]
    fn a_bit_is_stuffed_in_jpeg_ls() {
        let mut interval = Interval::default();
        interval.read_jpeg_ls(&[0x12, 0xFF, 0x55, 0x80, 0xFF, 0xD9]);
        // 0x12, 0xFF, then 101_0101 and 1000_0000 moved up by one bit.
        assert_eq!(interval.bytes[..5], [0x12, 0xFF, 0xAB, 0x01, 0xFE]);
    }

    #[test]
    fn bits_come_in_order_and_zeros_follow() {
        let mut interval = Interval::with_capacity(0);
        interval.read(&[0b1010_0110, 0x80]);
        let mut reader = interval.reader();
        let mut take = |count| {
            reader.refill();
            let bits = reader.peek(count);
            reader.consume(count);
            bits
        };
        assert_eq!([take(3), take(5), take(1)], [0b101, 0b00110, 1]);
        assert_eq!([take(7), take(32)], [0, 0]);
        assert!(reader.is_exhausted());
    }

    #[test]
    fn all_bits_may_be_used() {
        let mut interval = Interval::with_capacity(0);
        interval.read(&[0xAB; 100]);
        let mut reader = interval.reader();
        for _ in 0..100 {
            assert!(!reader.is_exhausted());
            reader.refill();
            assert_eq!(reader.peek(8), 0xAB);
            reader.consume(8);
        }
        assert!(!reader.is_exhausted());
        reader.consume(1);
        assert!(reader.is_exhausted());
    }

    #[test]
    fn categories_extend_to_both_signs() {
        assert_eq!(extend(0, 0), 0);
        assert_eq!([extend(0, 1), extend(1, 1)], [-1, 1]);
        assert_eq!(
            [extend(0, 3), extend(3, 3), extend(4, 3), extend(7, 3)],
            [-7, -4, 4, 7]
        );
    }
}
