//! The MQ arithmetic decoder (ISO/IEC 15444-1 Annex C).
//!
//! Two changes make it fast, and none changes a bit. The registers of the standard, C and A, both lose Qe with
//! every symbol, and nothing else happens as long as C stays positive and A stays above one half: so only the
//! smaller of the two distances is kept up to date, and one comparison decides (D. Taubman and M. Marcellin,
//! JPEG2000, 17.1.1). And C holds more bits than the standard's, so that bytes are added some at a time.

/// Fraction bits below those that the standard calls Chigh.
const FRACTION: u32 = 32;
/// The interval's least size, 0x8000.
const HALF: i64 = 0x8000 << FRACTION;

/// Contexts: 0 to 8 significance, 9 to 13 sign, 14 to 16 refinement.
pub(crate) const RUN_LENGTH: usize = 17;
pub(crate) const UNIFORM: usize = 18;

/// The state of a context: Qe in bits 0 to 14, the more probable symbol in bit 15, then the states that
/// follow a more and a less probable symbol, as indices into [`STATES`].
type State = u32;

/// Qe, next state after a more and after a less probable symbol, and whether the symbols change places
/// (table C.2).
const TABLE: [(u32, u32, u32, bool); 47] = [
    (0x5601, 1, 1, true),
    (0x3401, 2, 6, false),
    (0x1801, 3, 9, false),
    (0x0AC1, 4, 12, false),
    (0x0521, 5, 29, false),
    (0x0221, 38, 33, false),
    (0x5601, 7, 6, true),
    (0x5401, 8, 14, false),
    (0x4801, 9, 14, false),
    (0x3801, 10, 14, false),
    (0x3001, 11, 17, false),
    (0x2401, 12, 18, false),
    (0x1C01, 13, 20, false),
    (0x1601, 29, 21, false),
    (0x5601, 15, 14, true),
    (0x5401, 16, 14, false),
    (0x5101, 17, 15, false),
    (0x4801, 18, 16, false),
    (0x3801, 19, 17, false),
    (0x3401, 20, 18, false),
    (0x3001, 21, 19, false),
    (0x2801, 22, 19, false),
    (0x2401, 23, 20, false),
    (0x2201, 24, 21, false),
    (0x1C01, 25, 22, false),
    (0x1801, 26, 23, false),
    (0x1601, 27, 24, false),
    (0x1401, 28, 25, false),
    (0x1201, 29, 26, false),
    (0x1101, 30, 27, false),
    (0x0AC1, 31, 28, false),
    (0x09C1, 32, 29, false),
    (0x08A1, 33, 30, false),
    (0x0521, 34, 31, false),
    (0x0441, 35, 32, false),
    (0x02A1, 36, 33, false),
    (0x0221, 37, 34, false),
    (0x0141, 38, 35, false),
    (0x0111, 39, 36, false),
    (0x0085, 40, 37, false),
    (0x0049, 41, 38, false),
    (0x0025, 42, 39, false),
    (0x0015, 43, 40, false),
    (0x0009, 44, 41, false),
    (0x0005, 45, 42, false),
    (0x0001, 45, 43, false),
    (0x5601, 46, 46, false),
];

/// The states, each with either symbol as the more probable: index 2 × state + symbol. Indices are bytes, so
/// the table is as long as a byte can reach.
static STATES: [State; 256] = {
    let mut states = [0; 256];
    let mut index = 0;
    while index < 2 * TABLE.len() {
        let symbol = index as u32 & 1;
        let (qe, more, less, changes) = TABLE[index / 2];
        let less_symbol = symbol ^ changes as u32;
        states[index] = qe | symbol << 15 | (2 * more + symbol) << 16 | (2 * less + less_symbol) << 24;
        index += 1;
    }
    states
};

/// The states of all contexts; more than there are, so that any five-bit number is one.
pub(crate) type Contexts = [State; 32];

/// Contexts as a code-block starts with them (table D.7).
pub(crate) fn fresh_contexts() -> Contexts {
    let mut contexts = [STATES[0]; 32];
    contexts[0] = STATES[2 * 4];
    contexts[RUN_LENGTH] = STATES[2 * 3];
    contexts[UNIFORM] = STATES[2 * 46];
    contexts
}

/// The registers, over one codeword segment.
#[derive(Clone, Copy)]
pub(crate) struct Mq<'a> {
    /// The smaller of C, and A less one half.
    distance: i64,
    /// What C and A are beyond `distance`.
    c_beyond: i64,
    a_beyond: i64,
    /// Where the next byte goes in C: its lowest bit, if no bit is stuffed before it.
    position: i32,
    bytes: &'a [u8],
    next: usize,
    last: u8,
}

impl<'a> Mq<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut mq = Mq {
            distance: 0,
            c_beyond: 0,
            a_beyond: 0,
            position: FRACTION as i32 + 7,
            bytes,
            next: 0,
            last: 0,
        };
        let c = mq.filled(0);
        mq.set(c, HALF);
        mq
    }

    #[inline(always)]
    fn set(&mut self, c: i64, a: i64) {
        self.distance = c.min(a - HALF);
        self.c_beyond = c - self.distance;
        self.a_beyond = a - self.distance;
    }

    /// C with as many bytes more as fit. Behind the end come ones, as behind a marker (C.3.4).
    #[inline(never)]
    fn filled(&mut self, mut c: i64) -> i64 {
        while self.position >= 0 {
            let byte = self.bytes.get(self.next).copied().unwrap_or(0xFF);
            if self.last != 0xFF {
                c += i64::from(byte) << self.position;
                self.position -= 8;
            } else if byte <= 0x8F {
                // The bit stuffed before it takes a carry.
                c += i64::from(byte) << (self.position + 1);
                self.position -= 7;
            } else {
                c += 0xFF << self.position;
                self.position -= 8;
                continue;
            }
            self.last = byte;
            self.next += 1;
        }
        c
    }

    /// The next symbol, in a context below 32.
    #[inline(always)]
    pub fn symbol(&mut self, contexts: &mut Contexts, context: usize) -> u32 {
        let state = contexts[context & 31];
        let qe = i64::from(state & 0x7FFF) << FRACTION;
        self.distance -= qe;
        if self.distance >= 0 {
            return state >> 15 & 1;
        }
        self.renormalized(contexts, context, state, qe)
    }

    #[inline(always)]
    fn renormalized(&mut self, contexts: &mut Contexts, context: usize, state: State, qe: i64) -> u32 {
        let c = self.distance + self.c_beyond;
        let a = self.distance + self.a_beyond;
        // Below zero, C lies in the lower part of the interval, whose size is Qe. Whichever part is
        // smaller belongs to the less probable symbol.
        let lower = c < 0;
        let less = lower != (a < qe);
        let (c, a) = if lower { (c + qe, qe) } else { (c, a) };
        let following = if less { state >> 24 } else { state >> 16 & 0xFF };
        contexts[context & 31] = STATES[following as usize];
        let shift = a.leading_zeros() - (63 - 15 - FRACTION);
        self.position += shift as i32;
        let mut c = c << shift;
        // No byte may be missing in the bits that are compared, nor a carry from it.
        if self.position >= FRACTION as i32 - 8 {
            c = self.filled(c);
        }
        self.set(c, a << shift);
        (state >> 15 & 1) ^ u32::from(less)
    }
}
