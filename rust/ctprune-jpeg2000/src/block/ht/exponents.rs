//! The unsigned residuals u of a pair of quads (ISO/IEC 15444-15, 7.3.6).

/// How the residuals of a pair are coded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pair {
    Neither = 0,
    First = 1,
    Second = 2,
    Both = 3,
    /// Both, in the first row of quads, with a MEL event of zero.
    BothSmall = 4,
}

/// What six bits begin with: lengths of the prefixes together and of either suffix, and both values without it.
#[derive(Clone, Copy)]
struct Prefixes {
    length: u8,
    suffixes: [u8; 2],
    least: [u8; 2],
}

/// Prefix length, suffix length and least value of one residual, by the next three bits (table 3).
const fn prefix(bits: usize) -> (u8, u8, u8) {
    match bits & 7 {
        0b000 => (3, 5, 5),
        0b100 => (3, 1, 3),
        0b010 | 0b110 => (2, 0, 2),
        _ => (1, 0, 1),
    }
}

static PREFIXES: [[Prefixes; 64]; 5] = {
    let none = Prefixes {
        length: 0,
        suffixes: [0; 2],
        least: [0; 2],
    };
    let mut table = [[none; 64]; 5];
    let mut bits = 0;
    while bits < 64 {
        let (length, suffix, least) = prefix(bits);
        let (second_length, second_suffix, second_least) = prefix(bits >> length);
        table[Pair::First as usize][bits] = Prefixes {
            length,
            suffixes: [suffix, 0],
            least: [least, 0],
        };
        table[Pair::Second as usize][bits] = Prefixes {
            length,
            suffixes: [0, suffix],
            least: [0, least],
        };
        let both = Prefixes {
            length: length + second_length,
            suffixes: [suffix, second_suffix],
            least: [least, second_least],
        };
        table[Pair::Both as usize][bits] = both;
        table[Pair::BothSmall as usize][bits] = match length {
            // Behind a large first one, the second is one or two, in a single bit.
            3 => Prefixes {
                length: 4,
                suffixes: [suffix, 0],
                least: [least, 1 + (bits >> 3 & 1) as u8],
            },
            _ => both,
        };
        bits += 1;
    }
    table
};

/// Both residuals from the next bits, and how many of them that takes.
#[inline(always)]
pub(crate) fn residuals(pair: Pair, bits: u64) -> ([u32; 2], usize) {
    let entry = &PREFIXES[pair as usize][bits as usize & 63];
    let [first, second] = entry.suffixes;
    let suffix = bits >> entry.length;
    let of_first = suffix & ((1 << first) - 1);
    let of_second = suffix >> first & ((1 << second) - 1);
    let values = [
        u32::from(entry.least[0]) + of_first as u32,
        u32::from(entry.least[1]) + of_second as u32,
    ];
    (values, usize::from(entry.length + first + second))
}
