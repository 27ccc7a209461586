//! The three bit streams of an HT cleanup segment (ISO/IEC 15444-15, 7.1), freed of stuffed bits.

/// Bits, the first one lowest, that can be read at any offset; behind the end there are as many as were asked for.
#[derive(Default)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    /// Bits that were there; what follows is padding.
    count: usize,
}

/// Room for a read of sixteen bytes.
const SLACK: usize = 16;

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
        let mut after_large = last | 0xF > 0x8F;
        let mut rest = rest;
        loop {
            // Seven bytes at a time, as long as none of them ends in seven ones.
            while let Some((front, &eight)) = rest.split_last_chunk::<8>() {
                let seven = u64::from_be_bytes(eight) & 0x00FF_FFFF_FFFF_FFFF;
                let others = !seven & 0x007F_7F7F_7F7F_7F7F | 0x7F << 56;
                if others.wrapping_sub(0x0101_0101_0101_0101) & !others & 0x8080_8080_8080_8080 != 0 {
                    break;
                }
                self.put(at, seven);
                at += 56;
                after_large = eight[1] > 0x8F;
                rest = &rest[..front.len() + 1];
            }
            let Some((&byte, front)) = rest.split_last() else {
                break;
            };
            self.put(at, byte.into());
            at += if after_large && byte & 0x7F == 0x7F { 7 } else { 8 };
            after_large = byte > 0x8F;
            rest = front;
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

    /// The sixteen bytes from the one with bit `at` on; zeros where even the padding has ended.
    #[cfg(any(test, target_arch = "x86_64"))]
    #[inline(always)]
    pub fn bytes(&self, at: usize) -> [u8; 16] {
        let sixteen = self.bytes.get(at / 8..at / 8 + 16);
        sixteen
            .and_then(|bytes| bytes.first_chunk())
            .copied()
            .unwrap_or_default()
    }
}

/// The adaptive run-length decoder MEL (7.3.3).
pub(crate) struct Mel<'a> {
    bytes: &'a [u8],
    next: usize,
    /// Bits to come, the first one highest, and how many.
    bits: u64,
    count: u32,
    after_ff: bool,
    state: usize,
    /// Twice the number of events of zero still to come, and one more if an event of one follows.
    run: i32,
}

/// Length of runs, as powers of two, by state.
const RUNS: [u32; 13] = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5];

impl<'a> Mel<'a> {
    /// `bytes` are those of MEL and VLC together; the last one counts as ones in its lower half.
    pub fn new(bytes: &'a [u8]) -> Self {
        Mel {
            bytes,
            next: 0,
            bits: 0,
            count: 0,
            after_ff: false,
            state: 0,
            run: 0,
        }
    }

    /// More bits, 56 at least.
    fn fill(&mut self) {
        while self.count <= 56 {
            let mut byte = self.bytes.get(self.next).copied().unwrap_or(0xFF);
            if self.next + 1 == self.bytes.len() {
                byte |= 0xF;
            }
            self.next += 1;
            // Behind 0xFF the highest bit is not there.
            let bits = if self.after_ff { 7 } else { 8 };
            self.after_ff = byte == 0xFF;
            let aligned = u64::from(byte) << (64 - bits);
            self.bits |= aligned >> self.count;
            self.count += bits;
        }
    }

    /// The next run of events, doubled as in `run`.
    fn next_run(&mut self) -> i32 {
        if self.count < 6 {
            self.fill();
        }
        let length = RUNS[self.state];
        let (run, bits) = if self.bits >> 63 == 1 {
            self.state = (self.state + 1).min(RUNS.len() - 1);
            (2 << length, 1)
        } else {
            self.state = self.state.saturating_sub(1);
            let zeros = (self.bits << 1 >> 1 >> (63 - length)) as i32;
            (2 * zeros + 1, 1 + length)
        };
        self.bits <<= bits;
        self.count -= bits;
        run
    }

    /// The next event.
    #[inline(always)]
    pub fn event(&mut self) -> bool {
        if self.run == 0 {
            self.run = self.next_run();
        }
        self.run -= 2;
        let is_one = self.run < 0;
        if is_one {
            self.run = 0;
        }
        is_one
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, Mel, RUNS};

    /// Streams with many bytes that have a bit stuffed behind them.
    fn streams() -> impl Iterator<Item = Vec<u8>> {
        let mut state = 7u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize
        };
        (0..400).map(move |_| {
            let often = [0xFF, 0x7F, 0x8F, 0x90, 0x00];
            (0..random() % 60)
                .map(|_| match random() % 3 {
                    0 => often[random() % often.len()],
                    _ => random() as u8,
                })
                .collect()
        })
    }

    /// Bits of bytes, the lowest first: seven of a byte that `is_short`, as it says from the byte before and itself.
    fn unstuffed<'a>(
        bytes: impl IntoIterator<Item = &'a u8>,
        mut before: u8,
        is_short: impl Fn(u8, u8) -> bool,
    ) -> Vec<u8> {
        let mut expected = Vec::new();
        for &byte in bytes {
            let bits = if is_short(before, byte) { 7 } else { 8 };
            expected.extend((0..bits).map(|n| byte >> n & 1));
            before = byte;
        }
        expected
    }

    /// The first of these bits as `peek` and `bytes` give them.
    fn check(bits: &Bits, expected: &[u8], fill: u8) {
        assert_eq!(bits.count, expected.len());
        let padded = |at: usize| expected.get(at).copied().unwrap_or(fill);
        for at in 0..expected.len() + 24 {
            let word = (0..57).fold(0, |word, n| word | u64::from(padded(at + n)) << n);
            assert_eq!(bits.peek(at) & ((1 << 57) - 1), word, "bit {at}");
            let byte = (0..8).fold(0, |byte, n| byte | padded(at / 8 * 8 + 120 + n) << n);
            assert_eq!(bits.bytes(at)[15], byte, "bit {at}");
        }
    }

    #[test]
    fn stuffed_bits_are_left_out_forwards() {
        for stream in streams() {
            let expected = unstuffed(&stream, 0, |before, _| before == 0xFF);
            let mut bits = Bits::default();
            bits.set_forward(&stream, 32);
            check(&bits, &expected, 1);
        }
    }

    #[test]
    fn stuffed_bits_are_left_out_backwards() {
        for stream in streams() {
            let mut expected = Vec::new();
            if let Some((&last, rest)) = stream.split_last() {
                let first = if last >> 4 & 7 == 7 { 3 } else { 4 };
                expected.extend((0..first).map(|n| last >> (4 + n) & 1));
                let is_short = |before: u8, byte: u8| before > 0x8F && byte & 0x7F == 0x7F;
                expected.extend(unstuffed(rest.iter().rev(), last | 0xF, is_short));
            }
            let mut bits = Bits::default();
            bits.set_backward(&stream, 32);
            check(&bits, &expected, 0);
        }
    }

    #[test]
    fn runs_are_those_of_the_standard() {
        for stream in streams() {
            let mut unstuffed = Vec::new();
            let mut before = 0;
            for at in 0..stream.len() + 40 {
                let mut byte = stream.get(at).copied().unwrap_or(0xFF);
                if at + 1 == stream.len() {
                    byte |= 0xF;
                }
                let bits = if before == 0xFF { 7 } else { 8 };
                unstuffed.extend((0..bits).rev().map(|n| byte >> n & 1));
                before = byte;
            }
            let mut bits = unstuffed.into_iter();
            let (mut state, mut events) = (0usize, Vec::new());
            while events.len() < 300 {
                let length = RUNS[state];
                if bits.next() == Some(1) {
                    events.extend(std::iter::repeat_n(false, 1 << length));
                    state = (state + 1).min(12);
                } else {
                    let zeros =
                        (0..length).fold(0, |zeros, _| 2 * zeros + usize::from(bits.next().unwrap_or(1)));
                    events.extend(std::iter::repeat_n(false, zeros));
                    events.push(true);
                    state = state.saturating_sub(1);
                }
            }
            let mut mel = Mel::new(&stream);
            for (at, &event) in events.iter().enumerate() {
                assert_eq!(mel.event(), event, "event {at}");
            }
        }
    }
}
