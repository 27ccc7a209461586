//! The unsigned residuals u of a pair of quads (ISO/IEC 15444-15, 7.3.6).

/// How the residuals of a pair are coded: bit 0 says whether the first quad has one, bit 1 the second.
pub(crate) type Kind = usize;

pub(crate) const BOTH: Kind = 3;
/// Both, in the first row of quads, with a MEL event of zero.
pub(crate) const BOTH_SMALL: Kind = 4;

/// What six bits begin with: length of the prefixes together (from bit 0), of either suffix (from bits 4 and 8), and both
/// values without it (from bits 16 and 24).
type Prefixes = u32;

const fn prefixes(length: u32, suffixes: [u32; 2], least: [u32; 2]) -> Prefixes {
    length | suffixes[0] << 4 | suffixes[1] << 8 | least[0] << 16 | least[1] << 24
}

/// Prefix length, suffix length and least value of one residual, by the next three bits (table 3).
const fn prefix(bits: usize) -> (u32, u32, u32) {
    match bits & 7 {
        0b000 => (3, 5, 5),
        0b100 => (3, 1, 3),
        0b010 | 0b110 => (2, 0, 2),
        _ => (1, 0, 1),
    }
}

static PREFIXES: [[Prefixes; 64]; 5] = {
    let mut table = [[0; 64]; 5];
    let mut bits = 0;
    while bits < 64 {
        let (length, suffix, least) = prefix(bits);
        let (second_length, second_suffix, second_least) = prefix(bits >> length);
        table[1][bits] = prefixes(length, [suffix, 0], [least, 0]);
        table[2][bits] = prefixes(length, [0, suffix], [0, least]);
        let both = prefixes(
            length + second_length,
            [suffix, second_suffix],
            [least, second_least],
        );
        table[BOTH][bits] = both;
        table[BOTH_SMALL][bits] = match length {
            // Behind a large first one, the second is one or two, in a single bit.
            3 => prefixes(4, [suffix, 0], [least, 1 + (bits >> 3 & 1) as u32]),
            _ => both,
        };
        bits += 1;
    }
    table
};

/// Both residuals from the next bits, and how many of them that takes.
#[inline(always)]
pub(crate) fn residuals(kind: Kind, bits: u64) -> ([u32; 2], usize) {
    let entry = PREFIXES[kind][bits as usize & 63];
    let (length, first, second) = (entry & 7, entry >> 4 & 7, entry >> 8 & 7);
    let suffix = (bits >> length) as u32;
    let of_first = suffix & ((1 << first) - 1);
    let of_second = suffix >> first & ((1 << second) - 1);
    let values = [(entry >> 16 & 7) + of_first, (entry >> 24) + of_second];
    (values, (length + first + second) as usize)
}
