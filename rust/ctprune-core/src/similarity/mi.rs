//! Normalised mutual information `(H(X) + H(Y)) / H(X, Y)` (Studholme 1999) of 64 bins, from 1 to 2: what
//! `skimage.metrics.normalized_mutual_information(a, b, bins=64)` returns.
//!
//! Like numpy's histogram, each slice has 64 equal bins between its own smallest and largest value. Since
//! `H(X, Y) ≥ max(H(X), H(Y))`, the value is at most `1 + min / max` of the two entropies, which are known of each slice.

use super::{Measure, Picture, Verdict};
use std::sync::LazyLock;

/// Bins of a slice.
const BINS: usize = 64;
const CELLS: usize = BINS * BINS;

/// More than what rounding can change the bound or the value by.
const SLACK: f64 = 1e-6;

/// Counters take turns, since adding twice in a row to one of them has to wait for the first.
const TURNS: usize = 4;

/// Pixels that are counted in 16 bits.
const COUNTED: usize = 65_528;

/// Counts below this have their `c ln c` in a table.
const TABLE: usize = 4096;

/// Normalised mutual information.
#[derive(Clone, Copy, Debug, Default)]
pub struct MutualInformation;

/// The bins of a slice's pixels, and their entropy.
#[derive(Debug)]
pub struct MiSlice {
    bins: Vec<u8>,
    entropy: f64,
}

impl Measure for MutualInformation {
    type Prepared = MiSlice;

    fn prepare(&self, picture: Picture<'_>) -> Result<MiSlice, String> {
        let pixels = picture.pixels;
        let (Some(&low), Some(&high)) = (pixels.iter().min(), pixels.iter().max()) else {
            return Err("the slice has no pixel".into());
        };
        let bin_of = bins(low, high);
        let bins: Vec<u8> = pixels.iter().map(|&pixel| bin_of[usize::from(pixel)]).collect();
        let mut counts = [0u32; BINS];
        bins.iter().for_each(|&bin| counts[usize::from(bin)] += 1);
        let entropy = entropy(&counts, bins.len());
        Ok(MiSlice { bins, entropy })
    }

    fn compare(&self, a: &MiSlice, b: &MiSlice, threshold: f64) -> Verdict {
        let (less, more) = (a.entropy.min(b.entropy), a.entropy.max(b.entropy));
        if more == 0.0 {
            // Two slices without contrast tell all of each other.
            return Verdict::Exact(2.0);
        }
        let bound = 1.0 + less / more + SLACK;
        if bound < threshold {
            return Verdict::AtMost(bound);
        }
        let joint = entropy(&joint_counts(&a.bins, &b.bins), a.bins.len());
        Verdict::Exact((a.entropy + b.entropy) / joint)
    }
}

/// The bin of each grey value from the smallest to the largest, which belongs to the last bin.
fn bins(low: u8, high: u8) -> [u8; 256] {
    let width = usize::from(high - low).max(1);
    std::array::from_fn(|value| {
        let above = value.saturating_sub(usize::from(low));
        (above * BINS / width).min(BINS - 1) as u8
    })
}

/// Number of pixels of each pair of bins.
fn joint_counts(a: &[u8], b: &[u8]) -> Vec<u32> {
    let mut counts = vec![0u32; CELLS];
    let mut turns = [[0u16; CELLS]; TURNS];
    for (a, b) in a.chunks(COUNTED).zip(b.chunks(COUNTED)) {
        count(a, b, &mut turns);
        for turn in &mut turns {
            for (count, turn) in counts.iter_mut().zip(turn) {
                *count += u32::from(std::mem::take(turn));
            }
        }
    }
    counts
}

/// Counts at most [`COUNTED`] pixels, eight at a time; in the air and around the scan all eight are often alike.
fn count(a: &[u8], b: &[u8], turns: &mut [[u16; CELLS]; TURNS]) {
    const EIGHT: u64 = 0x0101_0101_0101_0101;
    let (a_eights, a_rest) = a.as_chunks::<8>();
    let (b_eights, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_eights.iter().zip(b_eights) {
        let same = |eight: &[u8; 8]| u64::from_ne_bytes(*eight) == u64::from(eight[0]) * EIGHT;
        if same(a) && same(b) {
            turns[0][cell(a[0], b[0])] += 8;
            continue;
        }
        for at in 0..8 {
            turns[at % TURNS][cell(a[at], b[at])] += 1;
        }
    }
    for (&a, &b) in a_rest.iter().zip(b_rest) {
        turns[0][cell(a, b)] += 1;
    }
}

/// The cell of two bins; both are below 64, which the mask shows to the compiler.
#[inline(always)]
fn cell(a: u8, b: u8) -> usize {
    (usize::from(a) * BINS + usize::from(b)) & (CELLS - 1)
}

static COUNT_TIMES_LOG: LazyLock<Vec<f64>> = LazyLock::new(|| (0..TABLE).map(count_times_log).collect());

fn count_times_log(count: usize) -> f64 {
    match count {
        0 => 0.0,
        count => count as f64 * libm::log(count as f64),
    }
}

/// Entropy in nats of counts that add up to `total`: `ln n − Σ c ln c / n`.
fn entropy(counts: &[u32], total: usize) -> f64 {
    let table = &*COUNT_TIMES_LOG;
    let mut sum = 0.0;
    for &count in counts.iter().filter(|&&count| count > 0) {
        if count as usize == total {
            return 0.0;
        }
        let count = count as usize;
        sum += table
            .get(count)
            .copied()
            .unwrap_or_else(|| count_times_log(count));
    }
    libm::log(total as f64) - sum / total as f64
}
