//! The scan of one component (annex A): prediction from neighbours, corrected by context, and runs.

use super::super::bits::{BitReader, Interval};
use super::parameters::Parameters;

/// J: the code order of runs, by run index (A.2.1).
const RUN_ORDER: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

/// Number of contexts of gradients: half of 9 × 9 × 9, the sign being kept apart.
const CONTEXTS: usize = 365;

/// A Golomb parameter above this is that of a broken stream: errors have 16 bits.
const MAX_GOLOMB: u32 = 16;

/// Statistics of one context (A.2.1): A, B, C, N.
#[derive(Clone, Copy, Debug)]
struct Context {
    /// Sum of error magnitudes.
    magnitude: i32,
    /// Sum of errors, as far as the correction has not taken it in.
    bias: i32,
    /// Correction of the prediction.
    correction: i32,
    /// Occurrences.
    count: i32,
}

/// Statistics of the samples that end a run: A, N, Nn.
#[derive(Clone, Copy, Debug)]
struct RunContext {
    magnitude: i32,
    count: i32,
    negative: i32,
}

struct Decoder<'a> {
    parameters: &'a Parameters,
    reader: BitReader<'a>,
    /// Region of a gradient, by the gradient clamped to ±T3, counted from −T3.
    regions: Vec<i8>,
    contexts: [Context; CONTEXTS],
    run_contexts: [RunContext; 2],
    run_index: usize,
}

/// Decodes lines of `columns` samples and hands each over with its number, until `put` returns false.
pub(crate) fn decode(
    parameters: &Parameters,
    coded: &[u8],
    columns: usize,
    mut put: impl FnMut(usize, &[i32]) -> bool,
) -> Result<(), String> {
    let mut interval = Interval::with_capacity(coded.len());
    interval.read_jpeg_ls(coded);
    let mut decoder = Decoder::new(parameters, interval.reader());
    // One more sample on either side: the neighbours of the first and the last (A.2.1).
    let (mut above, mut line) = (vec![0; columns + 2], vec![0; columns + 2]);
    for row in 0.. {
        above[columns + 1] = above[columns];
        line[0] = above[1];
        let decoded = decoder.line(&above, &mut line, columns);
        if decoder.reader.is_exhausted() {
            return Err("the JPEG-LS data ends early".into());
        }
        decoded.ok_or("the JPEG-LS data holds a code that cannot be")?;
        if !put(row, &line[1..=columns]) {
            break;
        }
        std::mem::swap(&mut above, &mut line);
    }
    Ok(())
}

impl<'a> Decoder<'a> {
    fn new(parameters: &'a Parameters, reader: BitReader<'a>) -> Self {
        let magnitude = ((parameters.range + 32) / 64).max(2);
        let top = parameters.thresholds[2];
        Self {
            parameters,
            reader,
            regions: (-top..=top)
                .map(|gradient| region(gradient, parameters))
                .collect(),
            contexts: [Context {
                magnitude,
                bias: 0,
                correction: 0,
                count: 1,
            }; CONTEXTS],
            run_contexts: [RunContext {
                magnitude,
                count: 1,
                negative: 0,
            }; 2],
            run_index: 0,
        }
    }

    fn region(&self, gradient: i32) -> i32 {
        let top = self.parameters.thresholds[2];
        i32::from(self.regions[(gradient.clamp(-top, top) + top) as usize])
    }

    /// Decodes one line; `None` where the data cannot be that of a stream.
    fn line(&mut self, above: &[i32], line: &mut [i32], columns: usize) -> Option<()> {
        let mut at = 1;
        let mut left_region = self.region(above[1] - above[0]);
        while at <= columns {
            // A.3.1: a, b, c, d are left, above, above left, above right.
            let (a, b, c, d) = (line[at - 1], above[at], above[at - 1], above[at + 1]);
            let right_region = self.region(d - b);
            let context = 81 * right_region + 9 * left_region + self.region(c - a);
            if context != 0 {
                line[at] = self.regular(context, a, b, c)?;
                at += 1;
                left_region = right_region;
            } else {
                at = self.run(above, line, at, columns)?;
                if at <= columns {
                    left_region = self.region(above[at] - above[at - 1]);
                }
            }
        }
        Some(())
    }

    /// A sample in the regular mode (A.4 to A.6).
    #[inline]
    fn regular(&mut self, signed_context: i32, a: i32, b: i32, c: i32) -> Option<i32> {
        let &Parameters {
            max,
            near,
            reset,
            range,
            ..
        } = self.parameters;
        let context = &mut self.contexts[signed_context.unsigned_abs() as usize];
        // 0 or −1: (x ^ sign) − sign is x with the sign of the context.
        let sign = signed_context >> 31;
        let correction = (context.correction ^ sign) - sign;
        let prediction = (median(a, b, c) + correction).clamp(0, max);
        let k = golomb(context.count, context.magnitude);
        let limit = self.parameters.limit - self.parameters.error_bits - 1;
        let mapped = code(&mut self.reader, k, limit, self.parameters.error_bits)?;
        // A.5.2: even and odd are the signs; exchanged where errors lean to the negative (`!x` is −1 − x).
        let flip = near == 0 && k == 0 && 2 * context.bias <= -context.count;
        let error = (mapped >> 1) ^ -(mapped & 1) ^ -i32::from(flip);
        context.update(error, near, reset);
        Some(reconstructed(prediction, (error ^ sign) - sign, max, near, range))
    }

    /// A run of samples like the one to the left, and the one that ends it (A.7); returns the next place.
    fn run(&mut self, above: &[i32], line: &mut [i32], start: usize, columns: usize) -> Option<usize> {
        let value = line[start - 1];
        let mut end = start;
        let order = loop {
            self.reader.refill();
            let order = RUN_ORDER[self.run_index];
            let whole = self.reader.peek(1) == 1;
            self.reader.consume(1);
            if !whole {
                break order;
            }
            let length = (1 << order).min(columns + 1 - end);
            end += length;
            if length == 1 << order {
                self.run_index = (self.run_index + 1).min(31);
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
        self.run_index = self.run_index.saturating_sub(1);
        Some(end + 1)
    }

    /// The sample that ends a run (A.7.2), whose left and upper neighbours are given.
    fn run_end(&mut self, a: i32, b: i32, order: u32) -> Option<i32> {
        let &Parameters {
            max,
            near,
            reset,
            range,
            limit,
            error_bits,
            ..
        } = self.parameters;
        let alike = i32::from((a - b).abs() <= near);
        let context = &mut self.run_contexts[alike as usize];
        let k = golomb(context.count, context.magnitude + alike * (context.count >> 1));
        self.reader.refill();
        let mapped = code(
            &mut self.reader,
            k,
            limit - order - 1 - error_bits - 1,
            error_bits,
        )?;
        let folded = mapped + alike;
        let odd = folded & 1 == 1;
        let magnitude = (folded + 1) >> 1;
        let is_negative = odd == (k != 0 || 2 * context.negative >= context.count);
        let error = if is_negative { -magnitude } else { magnitude };
        context.update(error, mapped, alike, reset);
        if alike == 1 {
            return Some(reconstructed(a, error, max, near, range));
        }
        Some(reconstructed(
            b,
            if a > b { -error } else { error },
            max,
            near,
            range,
        ))
    }
}

/// Region of a gradient (A.3.3): −4 to 4.
fn region(gradient: i32, parameters: &Parameters) -> i8 {
    let [t1, t2, t3] = parameters.thresholds;
    let bounds = [parameters.near + 1, t1, t2, t3];
    let magnitude = bounds.iter().filter(|&&bound| gradient.abs() >= bound).count() as i8;
    if gradient < 0 { -magnitude } else { magnitude }
}

/// The prediction (A.4.1): the median of left, above, and the plane through the three neighbours.
#[inline]
fn median(a: i32, b: i32, c: i32) -> i32 {
    let (low, high) = (a.min(b), a.max(b));
    (a + b - c).clamp(low, high)
}

/// The Golomb parameter (A.5.1): the least k with `count << k >= magnitude`.
#[inline]
fn golomb(count: i32, magnitude: i32) -> u32 {
    let k = count.leading_zeros().saturating_sub(magnitude.leading_zeros());
    k + u32::from(count << k < magnitude)
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
fn reconstructed(prediction: i32, error: i32, max: i32, near: i32, range: i32) -> i32 {
    let step = 2 * near + 1;
    let mut value = prediction + error * step;
    if value < -near {
        value += range * step;
    } else if value > max + near {
        value -= range * step;
    }
    value.clamp(0, max)
}

impl Context {
    /// A.6.1 and A.6.2.
    #[inline]
    fn update(&mut self, error: i32, near: i32, reset: i32) {
        self.bias += error * (2 * near + 1);
        self.magnitude += error.abs();
        if self.count == reset {
            self.magnitude >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.bias = (self.bias + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-128);
        } else if self.bias > 0 {
            self.bias = (self.bias - self.count).min(0);
            self.correction = (self.correction + 1).min(127);
        }
    }
}

impl RunContext {
    /// A.7.2.3.
    fn update(&mut self, error: i32, mapped: i32, alike: i32, reset: i32) {
        self.negative += i32::from(error < 0);
        self.magnitude += (mapped + 1 - alike) >> 1;
        if self.count == reset {
            self.magnitude >>= 1;
            self.count >>= 1;
            self.negative >>= 1;
        }
        self.count += 1;
    }
}
