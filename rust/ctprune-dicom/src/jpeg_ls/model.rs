//! The model of a scan of one component (annex A): samples are predicted from their neighbors, and what was
//! seen in like neighborhoods, the contexts, corrects the prediction and tells how long its error's code is.

use super::parameters::Parameters;

/// J: the code order of runs, by run index (A.2.1).
const RUN_ORDER: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

/// Number of contexts of gradients: half of 9 × 9 × 9, the sign being kept apart.
const CONTEXTS: usize = 365;

/// What a scan has learned so far.
pub struct Model<'a> {
    /// Of the scan.
    pub parameters: &'a Parameters,
    /// Contexts of the regular mode, by [`signed_context`] without its sign.
    pub contexts: [Context; CONTEXTS],
    /// Contexts of the samples that end a run: left and upper neighbor differ, or are alike.
    pub run_contexts: [RunContext; 2],
    /// Region of a gradient, by the gradient clamped to ±T3, counted from −T3.
    regions: Vec<i8>,
    run_index: usize,
}

impl<'a> Model<'a> {
    /// Nothing learned yet.
    pub fn new(parameters: &'a Parameters) -> Self {
        let magnitude = ((parameters.range + 32) / 64).max(2);
        let top = parameters.thresholds[2];
        Self {
            parameters,
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
            regions: (-top..=top)
                .map(|gradient| region(gradient, parameters))
                .collect(),
            run_index: 0,
        }
    }

    /// Region of a gradient (A.3.3): −4 to 4.
    #[inline]
    pub fn region(&self, gradient: i32) -> i32 {
        let top = self.parameters.thresholds[2];
        i32::from(self.regions[(gradient.clamp(-top, top) + top) as usize])
    }

    /// Order of the code of a run: a bit of 1 stands for `1 << order` samples.
    #[inline]
    pub fn run_order(&self) -> u32 {
        RUN_ORDER[self.run_index]
    }

    /// After a bit of 1 that stood for all its samples.
    #[inline]
    pub fn expect_longer_run(&mut self) {
        self.run_index = (self.run_index + 1).min(RUN_ORDER.len() - 1);
    }

    /// After a run that another sample ended.
    #[inline]
    pub fn expect_shorter_run(&mut self) {
        self.run_index = self.run_index.saturating_sub(1);
    }
}

fn region(gradient: i32, parameters: &Parameters) -> i8 {
    let [t1, t2, t3] = parameters.thresholds;
    let bounds = [parameters.near + 1, t1, t2, t3];
    let magnitude = bounds.iter().filter(|&&bound| gradient.abs() >= bound).count() as i8;
    if gradient < 0 { -magnitude } else { magnitude }
}

/// Number of a context (A.3.4) from the regions of d − b, b − c and c − a, where a, b, c, d are the neighbors
/// left, above, above left, above right. A mirrored neighborhood has the negative number; 0 begins a run.
#[inline]
pub fn signed_context(right: i32, left: i32, below: i32) -> i32 {
    81 * right + 9 * left + below
}

/// Statistics of one context (A.2.1): A, B, C, N.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Sum of error magnitudes.
    magnitude: i32,
    /// Sum of errors, as far as the correction has not taken it in.
    bias: i32,
    /// Correction of the prediction.
    correction: i32,
    /// Occurrences.
    count: i32,
}

impl Context {
    /// The corrected prediction (A.4.1, A.4.2) from the neighbors a, b, c; `sign` is −1 in a mirrored
    /// neighborhood, else 0.
    #[inline]
    pub fn predict(&self, sign: i32, [a, b, c]: [i32; 3], max: i32) -> i32 {
        (median(a, b, c) + signed(self.correction, sign)).clamp(0, max)
    }

    /// The Golomb parameter.
    #[inline]
    pub fn golomb(&self) -> u32 {
        golomb(self.count, self.magnitude)
    }

    /// Whether the signs exchange their codes as errors lean to the negative (A.5.2): 0 or −1.
    #[inline]
    pub fn exchange(&self, k: u32, near: i32) -> i32 {
        -i32::from(near == 0 && k == 0 && 2 * self.bias <= -self.count)
    }

    /// A.6.1 and A.6.2.
    #[inline]
    pub fn update(&mut self, error: i32, near: i32, reset: i32) {
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

/// Statistics of the samples that end a run: A, N, Nn.
#[derive(Clone, Copy, Debug)]
pub struct RunContext {
    magnitude: i32,
    count: i32,
    negative: i32,
}

impl RunContext {
    /// The Golomb parameter (A.7.2.1); `alike` is 1 where the left and the upper neighbor are, else 0.
    pub fn golomb(&self, alike: i32) -> u32 {
        golomb(self.count, self.magnitude + alike * (self.count >> 1))
    }

    /// Whether a negative error has the odd one of two codes (A.7.2.2), else a positive error has it.
    pub fn negative_is_odd(&self, k: u32) -> bool {
        k != 0 || 2 * self.negative >= self.count
    }

    /// A.7.2.3.
    pub fn update(&mut self, error: i32, mapped: i32, alike: i32, reset: i32) {
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

/// `value` with its sign changed where `sign` is −1 and not 0.
#[inline]
pub fn signed(value: i32, sign: i32) -> i32 {
    (value ^ sign) - sign
}

/// The prediction (A.4.1): the median of left, above, and the plane through the three neighbors.
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
