//! Passes without arithmetic coding, for the lower bit-planes (ISO/IEC 15444-1 D.6).

use super::neighbors::{CODED, Column, REFINED, about_to_be};
use super::passes::{Plane, refined, row, rows};

/// Bits from the most significant on; a zero bit is stuffed behind each 0xFF, ones follow the end.
pub(crate) struct RawBits<'a> {
    bytes: &'a [u8],
    next: usize,
    current: u8,
    left: u32,
}

impl<'a> RawBits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        RawBits {
            bytes,
            next: 0,
            current: 0,
            left: 0,
        }
    }

    fn bit(&mut self) -> u32 {
        if self.left == 0 {
            let byte = self.bytes.get(self.next).copied().unwrap_or(0xFF);
            let stuffed = self.current == 0xFF && byte <= 0x8F;
            if self.current == 0xFF && !stuffed {
                // A marker: the segment has ended.
                self.current = 0xFF;
                self.left = 8;
            } else {
                self.current = byte;
                self.left = if stuffed { 7 } else { 8 };
                self.next += 1;
            }
        }
        self.left -= 1;
        u32::from(self.current >> self.left) & 1
    }
}

impl Plane<'_> {
    /// Significance propagation.
    pub fn propagate_raw(&mut self, bits: &mut RawBits<'_>) {
        let value = self.one | self.one >> 1;
        for index in self.stripes() {
            let rows = rows(self.height, index);
            let (mut stripe, coefficients) = self.stripe(index);
            for (x, coefficients) in coefficients.iter_mut().enumerate() {
                let mut column = stripe.here[x + 1];
                let mut todo = about_to_be(column) & rows;
                while todo != 0 {
                    let shift = todo.trailing_zeros();
                    column |= 1 << (CODED + shift);
                    if bits.bit() == 1 {
                        let negative = bits.bit();
                        coefficients[row(shift)] = if negative == 1 { -value } else { value };
                        column |= stripe.spread(x, shift, negative);
                    }
                    todo = about_to_be(column) & rows & (Column::MAX << (shift + 3));
                }
                stripe.here[x + 1] = column;
            }
        }
    }

    /// Magnitude refinement.
    pub fn refine_raw(&mut self, bits: &mut RawBits<'_>) {
        let half = self.one >> 1;
        for index in self.stripes() {
            let rows = rows(self.height, index);
            let (stripe, coefficients) = self.stripe(index);
            for (x, coefficients) in coefficients.iter_mut().enumerate() {
                let column = stripe.here[x + 1];
                let all = column >> 4 & !(column >> CODED) & rows;
                let mut todo = all;
                while todo != 0 {
                    let value = &mut coefficients[row(todo.trailing_zeros())];
                    *value = refined(*value, bits.bit(), half);
                    todo &= todo - 1;
                }
                stripe.here[x + 1] |= all << REFINED;
            }
        }
    }
}
