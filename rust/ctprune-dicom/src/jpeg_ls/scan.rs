//! The scan of one component (annex A): prediction from neighbors, corrected by context, and runs.

use super::model::{Model, signed, signed_context};
use super::parameters::Parameters;
use crate::dicom::codec::bits::{BitReader, Interval};
use crate::error::ReadError;

/// A Golomb parameter above this is that of a broken stream: errors have 16 bits.
const MAX_GOLOMB: u32 = 16;

struct Decoder<'a> {
    model: Model<'a>,
    reader: BitReader<'a>,
}

/// Decodes lines of `columns` samples and hands each over with its number, until `put` returns false.
pub(crate) fn decode(
    parameters: &Parameters,
    coded: &[u8],
    columns: usize,
    mut put: impl FnMut(usize, &[i32]) -> bool,
) -> Result<(), ReadError> {
    let mut interval = Interval::with_capacity(coded.len());
    interval.read_jpeg_ls(coded);
    let mut decoder = Decoder {
        model: Model::new(parameters),
        reader: interval.reader(),
    };
    // One more sample on either side: the neighbors of the first and the last (A.2.1).
    let (mut above, mut line) = (vec![0; columns + 2], vec![0; columns + 2]);
    for row in 0.. {
        above[columns + 1] = above[columns];
        line[0] = above[1];
        let decoded = decoder.line(&above, &mut line, columns);
        if decoder.reader.is_exhausted() {
            return Err(ReadError::Truncated("the JPEG-LS data"));
        }
        decoded.ok_or(ReadError::Invalid("the JPEG-LS data holds an impossible code"))?;
        if !put(row, &line[1..=columns]) {
            break;
        }
        std::mem::swap(&mut above, &mut line);
    }
    Ok(())
}

impl Decoder<'_> {
    /// Decodes one line; `None` where the data cannot be that of a stream.
    fn line(&mut self, above: &[i32], line: &mut [i32], columns: usize) -> Option<()> {
        let mut at = 1;
        let mut left_region = self.model.region(above[1] - above[0]);
        while at <= columns {
            // A.3.1: a, b, c, d are left, above, above left, above right.
            let (a, b, c, d) = (line[at - 1], above[at], above[at - 1], above[at + 1]);
            let right_region = self.model.region(d - b);
            let context = signed_context(right_region, left_region, self.model.region(c - a));
            if context != 0 {
                line[at] = self.regular(context, [a, b, c])?;
                at += 1;
                left_region = right_region;
            } else {
                at = self.run(above, line, at, columns)?;
                if at <= columns {
                    left_region = self.model.region(above[at] - above[at - 1]);
                }
            }
        }
        Some(())
    }

    /// A sample in the regular mode (A.4 to A.6).
    #[inline]
    fn regular(&mut self, signed_context: i32, neighbors: [i32; 3]) -> Option<i32> {
        let parameters = self.model.parameters;
        let &Parameters { near, reset, .. } = parameters;
        let context = &mut self.model.contexts[signed_context.unsigned_abs() as usize];
        let sign = signed_context >> 31;
        let prediction = context.predict(sign, neighbors, parameters.max);
        let k = context.golomb();
        let escape = parameters.escape(parameters.limit);
        let mapped = code(&mut self.reader, k, escape, parameters.error_bits)?;
        // A.5.2: even and odd are the signs; `x ^ −1` is −1 − x.
        let error = (mapped >> 1) ^ -(mapped & 1) ^ context.exchange(k, near);
        context.update(error, near, reset);
        Some(reconstructed(prediction, signed(error, sign), parameters))
    }

    /// A run of samples like the one to the left, and the one that ends it (A.7); returns the next column.
    fn run(&mut self, above: &[i32], line: &mut [i32], start: usize, columns: usize) -> Option<usize> {
        let value = line[start - 1];
        let mut end = start;
        let order = loop {
            self.reader.refill();
            let order = self.model.run_order();
            let whole = self.reader.peek(1) == 1;
            self.reader.consume(1);
            if !whole {
                break order;
            }
            let length = (1 << order).min(columns + 1 - end);
            end += length;
            if length == 1 << order {
                self.model.expect_longer_run();
            }
            if end > columns {
                line[start..end].fill(value);
                return Some(end);
            }
        };
        if order > 0 {
            end += self.reader.peek(order) as usize;
            self.reader.consume(order);
        }
        // A run that is cut short ends in a sample of the same line.
        line.get_mut(start..end).filter(|_| end <= columns)?.fill(value);
        line[end] = self.run_end(value, above[end], order)?;
        self.model.expect_shorter_run();
        Some(end + 1)
    }

    /// The sample that ends a run (A.7.2), whose left and upper neighbors are given.
    fn run_end(&mut self, a: i32, b: i32, order: u32) -> Option<i32> {
        let parameters = self.model.parameters;
        let alike = i32::from((a - b).abs() <= parameters.near);
        let context = &mut self.model.run_contexts[alike as usize];
        let k = context.golomb(alike);
        let escape = parameters.escape(parameters.limit - order - 1);
        let mapped = code(&mut self.reader, k, escape, parameters.error_bits)?;
        let folded = mapped + alike;
        let odd = folded & 1 == 1;
        let magnitude = (folded + 1) >> 1;
        let is_negative = odd == context.negative_is_odd(k);
        let error = if is_negative { -magnitude } else { magnitude };
        context.update(error, mapped, alike, parameters.reset);
        let sign = -i32::from(alike == 0 && a > b);
        let prediction = if alike == 1 { a } else { b };
        Some(reconstructed(prediction, signed(error, sign), parameters))
    }
}

/// A limited-length Golomb code (A.5.3): fewer than `limit` zeros, a one, and k bits; or the escape with the
/// number itself.
#[inline]
fn code(reader: &mut BitReader<'_>, k: u32, limit: u32, error_bits: u32) -> Option<i32> {
    reader.refill();
    let zeros = reader.zeros();
    if zeros >= limit.min(32) || k > MAX_GOLOMB {
        return long_code(reader, k, limit, error_bits);
    }
    reader.consume(zeros + 1);
    // Shifted in two steps: a shift by 32 would be none.
    let low = reader.peek(32) >> 1 >> (31 - k);
    reader.consume(k);
    Some((zeros << k | low) as i32)
}

#[cold]
fn long_code(reader: &mut BitReader<'_>, k: u32, limit: u32, error_bits: u32) -> Option<i32> {
    if k > MAX_GOLOMB || reader.zeros() > limit {
        return None;
    }
    let zeros = reader.zeros();
    reader.consume(zeros + 1);
    reader.refill();
    let take = |reader: &mut BitReader<'_>, bits: u32| {
        let number = reader.peek(32) >> 1 >> (31 - bits);
        reader.consume(bits);
        number
    };
    if zeros == limit {
        return Some(take(reader, error_bits) as i32 + 1);
    }
    Some((zeros << k | take(reader, k)) as i32)
}

/// Prediction plus error, back in range (A.5.4, A.8).
#[inline]
fn reconstructed(prediction: i32, error: i32, parameters: &Parameters) -> i32 {
    let &Parameters { max, near, range, .. } = parameters;
    let step = 2 * near + 1;
    let mut value = prediction + error * step;
    if value < -near {
        value += range * step;
    } else if value > max + near {
        value -= range * step;
    }
    value.clamp(0, max)
}
