//! The three coding passes of a bit-plane (ISO/IEC 15444-1 D.3).
//!
//! Coefficients hold twice their value, so that the middle of what is not known yet is a whole number. They lie
//! as they are scanned: stripe by stripe, column by column, four at a time.

use super::mq::{Contexts, Mq, RUN_LENGTH, UNIFORM};
use super::neighbors::{
    AROUND, CODED, Column, Columns, FOUR, REFINED, SIGNIFICANCE, SignificanceContexts, Stripe, about_to_be,
    sign_context,
};

/// What a pass works on.
pub(crate) struct Plane<'a> {
    pub columns: &'a mut Columns,
    pub coefficients: &'a mut [[i32; 4]],
    pub width: usize,
    pub height: usize,
    pub causal: bool,
    /// Twice the value of this bit-plane's bit.
    pub one: i32,
    pub significance: &'static SignificanceContexts,
}

/// One bit for each coefficient of a stripe that lies in the block.
pub(crate) fn rows(height: usize, stripe: usize) -> Column {
    match height - 4 * stripe {
        rows @ 0..4 => FOUR & ((1 << (3 * rows)) - 1),
        _ => FOUR,
    }
}

impl Plane<'_> {
    pub fn stripes(&self) -> std::ops::Range<usize> {
        0..self.height.div_ceil(4)
    }

    pub fn stripe(&mut self, index: usize) -> (Stripe<'_>, &mut [[i32; 4]]) {
        let coefficients = &mut self.coefficients[index * self.width..][..self.width];
        (self.columns.stripe(index, self.causal), coefficients)
    }

    /// Significance propagation: what has a significant neighbor.
    pub fn propagate(&mut self, contexts: &mut Contexts, coder: &mut Mq<'_>) {
        // A copy stays in registers.
        let mut mq = *coder;
        let value = self.one | self.one >> 1;
        let significance = self.significance;
        for index in self.stripes() {
            let rows = rows(self.height, index);
            let (mut stripe, coefficients) = self.stripe(index);
            for (x, coefficients) in coefficients.iter_mut().enumerate() {
                let mut column = stripe.here[x + 1];
                let mut todo = about_to_be(column) & rows;
                if todo == 0 {
                    continue;
                }
                while todo != 0 {
                    let shift = todo.trailing_zeros();
                    let context = significance[(column >> shift & AROUND) as usize];
                    column |= 1 << (CODED + shift);
                    if mq.symbol(contexts, context.into()) == 0 {
                        todo &= todo - 1;
                        continue;
                    }
                    column |= significant(
                        &mut mq,
                        contexts,
                        &mut stripe,
                        x,
                        shift,
                        column,
                        coefficients,
                        value,
                    );
                    // Those below may have become its neighbors.
                    todo = about_to_be(column) & rows & (Column::MAX << (shift + 3));
                }
                stripe.here[x + 1] = column;
            }
        }
        *coder = mq;
    }

    /// Magnitude refinement: what was significant before.
    pub fn refine(&mut self, contexts: &mut Contexts, coder: &mut Mq<'_>) {
        // A copy stays in registers.
        let mut mq = *coder;
        let half = self.one >> 1;
        for index in self.stripes() {
            let rows = rows(self.height, index);
            let (stripe, coefficients) = self.stripe(index);
            for (x, coefficients) in coefficients.iter_mut().enumerate() {
                let column = stripe.here[x + 1];
                let all = column >> 4 & !(column >> CODED) & rows;
                let mut todo = all;
                while todo != 0 {
                    let shift = todo.trailing_zeros();
                    let around = column >> shift;
                    let first = 14 + usize::from(around & AROUND != 0);
                    let context = if around >> REFINED & 1 != 0 { 16 } else { first };
                    let bit = mq.symbol(contexts, context);
                    let value = &mut coefficients[row(shift)];
                    *value = refined(*value, bit, half);
                    todo &= todo - 1;
                }
                stripe.here[x + 1] |= all << REFINED;
            }
        }
        *coder = mq;
    }

    /// Cleanup: all that no other pass has coded.
    pub fn clean_up(&mut self, contexts: &mut Contexts, coder: &mut Mq<'_>) {
        let mut mq = *coder;
        let value = self.one | self.one >> 1;
        let significance = self.significance;
        for index in self.stripes() {
            let rows = rows(self.height, index);
            let (mut stripe, coefficients) = self.stripe(index);
            for (x, coefficients) in coefficients.iter_mut().enumerate() {
                let mut column = stripe.here[x + 1];
                let mut todo = !(column >> 4) & !(column >> CODED) & rows;
                if column & (SIGNIFICANCE | FOUR << CODED) == 0 && rows == FOUR {
                    if mq.symbol(contexts, RUN_LENGTH) == 0 {
                        continue;
                    }
                    let row = mq.symbol(contexts, UNIFORM) << 1 | mq.symbol(contexts, UNIFORM);
                    let shift = 3 * row;
                    column |= significant(
                        &mut mq,
                        contexts,
                        &mut stripe,
                        x,
                        shift,
                        column,
                        coefficients,
                        value,
                    );
                    todo = FOUR & (Column::MAX << (shift + 3));
                }
                while todo != 0 {
                    let shift = todo.trailing_zeros();
                    let context = significance[(column >> shift & AROUND) as usize];
                    if mq.symbol(contexts, context.into()) == 1 {
                        column |= significant(
                            &mut mq,
                            contexts,
                            &mut stripe,
                            x,
                            shift,
                            column,
                            coefficients,
                            value,
                        );
                    }
                    todo &= todo - 1;
                }
                stripe.here[x + 1] = column & !(FOUR << CODED);
            }
        }
        *coder = mq;
    }
}

/// Decodes the sign of a coefficient that has just become significant, and sets its value.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the registers of the inner loop")]
fn significant(
    mq: &mut Mq<'_>,
    contexts: &mut Contexts,
    stripe: &mut Stripe<'_>,
    x: usize,
    shift: u32,
    column: Column,
    coefficients: &mut [i32; 4],
    value: i32,
) -> Column {
    let (context, inverted) = sign_context(
        column >> shift,
        stripe.here[x] >> shift,
        stripe.here[x + 2] >> shift,
    );
    let negative = mq.symbol(contexts, context) ^ inverted;
    coefficients[row(shift)] = if negative == 1 { -value } else { value };
    stripe.spread(x, shift, negative)
}

/// The row of a stripe that a shift of three bits a row leads to.
#[inline(always)]
pub(crate) fn row(shift: u32) -> usize {
    ((shift as usize * 11) >> 5) & 3
}

/// A value whose next bit is known: half a step away from zero, or toward it.
#[inline(always)]
pub(crate) fn refined(value: i32, bit: u32, half: i32) -> i32 {
    let outwards = (bit == 1) != (value < 0);
    value + if outwards { half } else { -half }
}
