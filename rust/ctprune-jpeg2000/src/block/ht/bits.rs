//! The three bit streams of an HT cleanup segment (ISO/IEC 15444-15, 7.1), freed of stuffed bits.

/// Bits, the first one lowest, that can be read at any place; behind the end there are as many as were asked for.
#[derive(Default)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    /// Bits that were there; what follows is padding.
    count: usize,
}

/// Room for a read of eight bytes.
const SLACK: usize = 8;

impl Bits {
    /// Takes `bytes` from the first on. A byte behind 0xFF has seven bits. Ones follow, `padding` bytes.
    pub fn set_forward(&mut self, bytes: &[u8], padding: usize) {
        self.start(bytes.len() + padding);
        let mut at = 0;
        let mut rest = bytes;
        let mut after_ff = false;
        loop {
            // Seven bytes at a time, as long as there is none of 0xFF among them.
            while !after_ff && let Some((&eight, _)) = rest.split_first_chunk::<8>() {
                let seven = u64::from_le_bytes(eight) & 0x00FF_FFFF_FFFF_FFFF;
                let inverted = !seven & 0x00FF_FFFF_FFFF_FFFF | 0xFF << 56;
                if inverted.wrapping_sub(0x0101_0101_0101_0101) & !inverted & 0x8080_8080_8080_8080 != 0 {
                    break;
                }
                self.put(at, seven);
                at += 56;
                rest = &rest[7..];
            }
            let Some((&byte, tail)) = rest.split_first() else {
                break;
            };
            self.put(at, u64::from(if after_ff { byte & 0x7F } else { byte }));
            at += if after_ff { 7 } else { 8 };
            after_ff = byte == 0xFF;
            rest = tail;
        }
        self.end(at, 0xFF);
    }

    /// Takes `bytes` from the last on, of the last one only the upper four bits. A byte has seven bits if its lower
    /// seven are ones and the one before it was above 0x8F. Zeros follow.
    pub fn set_backward(&mut self, bytes: &[u8], padding: usize) {
        self.start(bytes.len() + padding);
        let Some((&last, rest)) = bytes.split_last() else {
            return self.end(0, 0);
        };
        let first = u64::from(last >> 4);
        self.put(0, first);
        let mut at = if first & 7 == 7 { 3 } else { 4 };
        let mut stuffed = last | 0xF > 0x8F;
        for &byte in rest.iter().rev() {
            self.put(at, byte.into());
            at += if stuffed && byte & 0x7F == 0x7F { 7 } else { 8 };
            stuffed = byte > 0x8F;
        }
        self.end(at, 0);
    }

    fn start(&mut self, bytes: usize) {
        self.bytes.clear();
        self.bytes.resize(bytes + 2 * SLACK, 0);
    }

    /// Adds bits from bit `at` on, behind which all are zero or to be overwritten.
    #[inline(always)]
    fn put(&mut self, at: usize, bits: u64) {
        if let Some(target) = self.bytes[at / 8..].first_chunk_mut::<8>() {
            let before = u64::from(target[0]) & ((1 << (at % 8)) - 1);
            *target = (before | bits << (at % 8)).to_le_bytes();
        }
    }

    fn end(&mut self, at: usize, fill: u8) {
        self.put(at, u64::from(fill));
        let next = (at / 8 + 1).min(self.bytes.len());
        self.bytes[next..].fill(fill);
        self.count = at;
    }

    /// Whether bit `at` is still among those that were there, or at most `beyond` behind.
    pub fn reaches(&self, at: usize, beyond: usize) -> bool {
        at <= self.count + beyond
    }

    /// At least 57 bits from bit `at` on; zeros where even the padding has ended.
    #[inline(always)]
    pub fn peek(&self, at: usize) -> u64 {
        let eight = self
            .bytes
            .get(at / 8..at / 8 + 8)
            .and_then(|bytes| bytes.first_chunk());
        eight.map_or(0, |&bytes| u64::from_le_bytes(bytes) >> (at % 8))
    }
}

/// The adaptive run-length decoder MEL (7.3.3).
pub(crate) struct Mel<'a> {
    bytes: &'a [u8],
    next: usize,
    current: u8,
    left: u32,
    state: usize,
    /// Events of zero still to come, and whether one of one follows.
    zeros: u32,
    one: bool,
}

/// Length of runs, as powers of two, by state.
const RUNS: [u32; 13] = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5];

impl<'a> Mel<'a> {
    /// `bytes` are those of MEL and VLC together; the last one counts as ones in its lower half.
    pub fn new(bytes: &'a [u8]) -> Self {
        Mel {
            bytes,
            next: 0,
            current: 0,
            left: 0,
            state: 0,
            zeros: 0,
            one: false,
        }
    }

    fn bit(&mut self) -> u32 {
        if self.left == 0 {
            self.left = if self.current == 0xFF { 7 } else { 8 };
            self.current = self.bytes.get(self.next).copied().unwrap_or(0xFF);
            if self.next + 1 == self.bytes.len() {
                self.current |= 0xF;
            }
            self.next += 1;
        }
        self.left -= 1;
        u32::from(self.current >> self.left) & 1
    }

    /// The next event.
    #[inline]
    pub fn event(&mut self) -> bool {
        if self.zeros == 0 && !self.one {
            let length = RUNS[self.state];
            if self.bit() == 1 {
                self.zeros = 1 << length;
                self.state = (self.state + 1).min(RUNS.len() - 1);
            } else {
                self.zeros = (0..length).fold(0, |zeros, _| zeros << 1 | self.bit());
                self.one = true;
                self.state = self.state.saturating_sub(1);
            }
        }
        match self.zeros {
            0 => std::mem::take(&mut self.one),
            _ => {
                self.zeros -= 1;
                false
            }
        }
    }
}
