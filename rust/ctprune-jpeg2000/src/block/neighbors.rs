//! What a column of four coefficients knows of its surroundings, and the contexts that follow from it
//! (ISO/IEC 15444-1 D.3).
//!
//! A block is scanned in stripes of four rows, column by column. The state of such a column is one word:
//!
//! | bits | what |
//! |---|---|
//! | 0 to 17 | significance of six rows (the four, and one above and below) × three columns |
//! | 18 + 3 r | sign of row r in the middle column, r from 0 (above) to 5 (below) |
//! | 19 + 3 r | the coefficient was refined before, r from 1 |
//! | 20 + 3 r | the coefficient was coded in this bit-plane, r from 1 |
//!
//! With three bits a row throughout, the word shifted right by 3 r shows the surroundings of coefficient r in
//! the same nine lowest bits, whichever r it is.

/// The state of a column of a stripe.
pub(crate) type Column = u64;

/// Significance of all that a column sees.
pub(crate) const SIGNIFICANCE: Column = 0x3FFFF;
/// One bit for each of the four coefficients; shifted, all their bits of one kind.
pub(crate) const FOUR: Column = 0b001_001_001_001;
/// Of the first coefficient: itself, its neighbors.
pub(crate) const SELF: Column = 1 << 4;
pub(crate) const AROUND: Column = 0b111_101_111;
/// Shifts to the bits of the first coefficient.
pub(crate) const SIGN: u32 = 21;
pub(crate) const REFINED: u32 = 22;
pub(crate) const CODED: u32 = 23;

/// Coefficients that are not significant, but have a neighbor that is: a bit in [`FOUR`] for each.
#[inline(always)]
pub(crate) fn about_to_be(column: Column) -> Column {
    let significance = column & SIGNIFICANCE;
    let row = significance | significance >> 1 | significance >> 2;
    (row | row >> 3 | row >> 6) & !(column >> 4) & FOUR
}

/// Significance context by the nine bits around a coefficient (table D.1), for a band's orientation.
pub(crate) type SignificanceContexts = [u8; 512];

/// For LL and LH, for HL, for HH.
pub(crate) static SIGNIFICANCE_CONTEXTS: [SignificanceContexts; 3] = {
    let mut tables = [[0; 512]; 3];
    let mut around = 0;
    while around < 512 {
        let horizontal = (around >> 3 & 1) + (around >> 5 & 1);
        let vertical = (around >> 1 & 1) + (around >> 7 & 1);
        let diagonal = (around & 1) + (around >> 2 & 1) + (around >> 6 & 1) + (around >> 8 & 1);
        tables[0][around] = along(horizontal, vertical, diagonal);
        tables[1][around] = along(vertical, horizontal, diagonal);
        tables[2][around] = across(horizontal + vertical, diagonal);
        around += 1;
    }
    tables
};

const fn along(first: usize, second: usize, diagonal: usize) -> u8 {
    match (first, second, diagonal) {
        (2, _, _) => 8,
        (1, 1.., _) => 7,
        (1, 0, 1..) => 6,
        (1, 0, 0) => 5,
        (_, 2, _) => 4,
        (_, 1, _) => 3,
        (_, _, 2..) => 2,
        (_, _, diagonal) => diagonal as u8,
    }
}

const fn across(straight: usize, diagonal: usize) -> u8 {
    match (straight, diagonal) {
        (_, 3..) => 8,
        (1.., 2) => 7,
        (0, 2) => 6,
        (2.., 1) => 5,
        (1, 1) => 4,
        (0, 1) => 3,
        (2.., 0) => 2,
        (straight, _) => straight as u8,
    }
}

/// By significance (bits 1, 3, 5, 7) and sign (bits 0, 2, 4, 6) of the neighbors above, left, right and below:
/// the sign's context, and in bit 7 whether it is to be inverted (tables D.2 and D.3).
static SIGN_CONTEXTS: [u8; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let vertical = contribution(index >> 1 & 1, index & 1, index >> 7 & 1, index >> 6 & 1);
        let horizontal = contribution(index >> 3 & 1, index >> 2 & 1, index >> 5 & 1, index >> 4 & 1);
        table[index] = match (horizontal, vertical) {
            (1, 1) => 13,
            (1, 0) => 12,
            (1, _) => 11,
            (0, 1) => 10,
            (0, 0) => 9,
            (0, _) => 10 | 0x80,
            (_, 1) => 11 | 0x80,
            (_, 0) => 12 | 0x80,
            (_, _) => 13 | 0x80,
        };
        index += 1;
    }
    table
};

/// 1, 0 or −1 (2 here) from the signs of two neighbors.
const fn contribution(significant: usize, negative: usize, other: usize, other_negative: usize) -> i32 {
    let first = significant as i32 * (1 - 2 * negative as i32);
    let second = other as i32 * (1 - 2 * other_negative as i32);
    match first + second {
        0 => 0,
        1.. => 1,
        _ => -1,
    }
}

/// Context of a sign, and whether it is inverted, from the words of a column and of those left and right of it,
/// each shifted to the coefficient.
#[inline(always)]
pub(crate) fn sign_context(column: Column, left: Column, right: Column) -> (usize, u32) {
    let index = column & 0xAA | column >> 18 & 0x41 | left >> 19 & 4 | right >> 17 & 0x10;
    let entry = SIGN_CONTEXTS[index as usize & 0xFF];
    (usize::from(entry & 31), u32::from(entry >> 7))
}

/// The words of a block's columns, with one more all around.
#[derive(Default)]
pub(crate) struct Columns {
    words: Vec<Column>,
    stride: usize,
}

/// Three stripes' words: the one above, the one being coded, the one below. Word x + 1 is that of column x.
pub(crate) struct Stripe<'a> {
    pub above: &'a mut [Column],
    pub here: &'a mut [Column],
    pub below: &'a mut [Column],
    /// Significance is not told to the stripe above.
    pub causal: bool,
}

impl Columns {
    /// All words zero.
    pub fn reset(&mut self, width: usize, height: usize) {
        self.stride = width + 2;
        self.words.clear();
        self.words.resize(self.stride * (height.div_ceil(4) + 2), 0);
    }

    pub fn stripe(&mut self, index: usize, causal: bool) -> Stripe<'_> {
        let words = &mut self.words[index * self.stride..][..3 * self.stride];
        let (above, words) = words.split_at_mut(self.stride);
        let (here, below) = words.split_at_mut(self.stride);
        Stripe {
            above,
            here,
            below,
            causal,
        }
    }
}

impl Stripe<'_> {
    /// Tells the columns around that coefficient `shift / 3` of column `x` is significant. What `here[x + 1]`
    /// itself has to know is returned.
    #[inline(always)]
    pub fn spread(&mut self, x: usize, shift: u32, negative: u32) -> Column {
        self.here[x] |= 1 << (shift + 5);
        self.here[x + 2] |= 1 << (shift + 3);
        let sign = Column::from(negative);
        if shift == 0 && !self.causal {
            self.above[x] |= 1 << 17;
            self.above[x + 1] |= 1 << 16 | sign << 33;
            self.above[x + 2] |= 1 << 15;
        }
        if shift == 9 {
            self.below[x] |= 1 << 2;
            self.below[x + 1] |= 1 << 1 | sign << 18;
            self.below[x + 2] |= 1;
        }
        (SELF | sign << SIGN) << shift
    }
}
