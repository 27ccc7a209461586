//! Normalized mutual information `(H(X) + H(Y)) / H(X, Y)` (Studholme 1999) of 64 bins, from 1 to 2: what
//! `skimage.metrics.normalized_mutual_information(a, b, bins=64)` returns.
//!
//! Like numpy's histogram, each slice has 64 equal bins between its own smallest and largest value. Since
//! `H(X, Y) ≥ max(H(X), H(Y))`, the value is at most `1 + min / max` of the two entropies, which are known of each slice.

use super::{Measure, Picture, PictureError, Verdict};
use ctprune_cpu::{Cpu, by_cpu};
use std::sync::LazyLock;

/// Bits of a bin's number.
const BITS: usize = 6;
/// Bins of a slice.
const BINS: usize = 1 << BITS;
const CELLS: usize = BINS * BINS;

/// More than what rounding can change the bound or the value by.
const SLACK: f64 = 1e-6;

/// Counters take turns, since adding to one of them again has to wait for the addition before.
const TURNS: usize = 8;

/// Counters that stay unused after each turn. Without them a cell would have the same last 12 bits of its address in all
/// turns, by which processors take a load from one turn for that of a store to another that is still under way.
const APART: usize = 288;

/// Pixels that are counted in 16 bits, each turn an eighth of them.
pub(super) const COUNTED: usize = TURNS * u16::MAX as usize;

/// Counts below this have their `c ln c` in a table.
const TABLE: usize = 4096;

type Counters = [[u16; CELLS + APART]; TURNS];

/// Normalized mutual information.
#[derive(Clone, Copy, Debug, Default)]
pub struct MutualInformation;

/// The bins of a slice's pixels, and their entropy.
#[derive(Debug)]
pub struct MiSlice {
    bins: Vec<u8>,
    entropy: f64,
}

impl Measure for MutualInformation {
    type Prepared<'a> = MiSlice;

    fn prepare<'a>(&self, picture: Picture<'a>, spare: Option<MiSlice>) -> Result<MiSlice, PictureError> {
        let grays = gray_counts(picture.pixels);
        let there = |&gray: &usize| grays[gray] > 0;
        let (Some(low), Some(high)) = ((0..256).find(there), (0..256).rfind(there)) else {
            return Err(PictureError::Empty);
        };
        let scale = scale(high - low);
        let mut counts = [0u32; BINS];
        for gray in low..=high {
            counts[usize::from(bin((gray - low) as u8, scale))] += grays[gray];
        }
        let mut bins = spare.map_or_else(Vec::new, |slice| slice.bins);
        bins.resize(picture.pixels.len(), 0);
        find_bins(Cpu::detect(), picture.pixels, low as u8, scale, &mut bins);
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

/// How many pixels have each gray value.
fn gray_counts(pixels: &[u8]) -> [u32; 256] {
    const APART: usize = 16;
    let mut turns = [[0u32; 256 + APART]; 4];
    let (fours, rest) = pixels.as_chunks::<4>();
    for four in fours {
        for (turn, &gray) in turns.iter_mut().zip(four) {
            turn[usize::from(gray)] += 1;
        }
    }
    for &gray in rest {
        turns[0][usize::from(gray)] += 1;
    }
    std::array::from_fn(|gray| turns.iter().map(|turn| turn[gray]).sum())
}

/// What [`bin`] multiplies by where the largest gray value is this much above the smallest: 64 bins over it, in fixed
/// point. It is rounded up by less than 1, so a bin's number by less than `255 / 2¹⁶`, and no number that is not whole is
/// as close as that below a whole one: its fraction is one of `width`th parts.
pub(super) fn scale(width: usize) -> u32 {
    ((BINS << 16) as u32).div_ceil(width.max(1) as u32)
}

/// The bin of a gray value by how much it is above the smallest; the largest belongs to the last bin.
#[inline(always)]
pub(super) fn bin(above: u8, scale: u32) -> u8 {
    ((u32::from(above) * scale) >> 16).min(BINS as u32 - 1) as u8
}

by_cpu! {
    /// The bins of a slice's pixels.
    pub(super) fn find_bins[](pixels: &[u8], low: u8, scale: u32, bins: &mut [u8]) {
        for (found, &pixel) in bins.iter_mut().zip(pixels) {
            *found = bin(pixel - low, scale);
        }
    }
}

/// Number of pixels of each pair of bins.
fn joint_counts(a: &[u8], b: &[u8]) -> [u32; CELLS] {
    let mut counts = [0; CELLS];
    for (a, b) in a.chunks(COUNTED).zip(b.chunks(COUNTED)) {
        let mut turns = [[0; CELLS + APART]; TURNS];
        count(a, b, &mut turns);
        add_turns(Cpu::detect(), &turns, &mut counts);
    }
    counts
}

by_cpu! {
    fn add_turns[](turns: &Counters, counts: &mut [u32; CELLS]) {
        for turn in turns {
            for (count, &turn) in counts.iter_mut().zip(turn) {
                *count += u32::from(turn);
            }
        }
    }
}

/// Counts at most [`COUNTED`] pixels, eight at a time: the cells of four fill a word.
fn count(a: &[u8], b: &[u8], turns: &mut Counters) {
    const EVERY_OTHER: u64 = 0x00ff_00ff_00ff_00ff;
    let (a_eights, a_rest) = a.as_chunks::<8>();
    let (b_eights, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_eights.iter().zip(b_eights) {
        let (a, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
        let even = (a & EVERY_OTHER) << BITS | b & EVERY_OTHER;
        let odd = (a >> 8 & EVERY_OTHER) << BITS | b >> 8 & EVERY_OTHER;
        for at in 0..4 {
            turns[2 * at][(even >> (16 * at)) as usize & (CELLS - 1)] += 1;
            turns[2 * at + 1][(odd >> (16 * at)) as usize & (CELLS - 1)] += 1;
        }
    }
    for ((&a, &b), turn) in a_rest.iter().zip(b_rest).zip(turns) {
        turn[usize::from(a) << BITS | usize::from(b)] += 1;
    }
}

static COUNT_TIMES_LOG: LazyLock<Vec<f64>> = LazyLock::new(|| (0..TABLE).map(count_times_log).collect());

fn count_times_log(count: usize) -> f64 {
    match count {
        0 => 0.0,
        count => count as f64 * libm::log(count as f64),
    }
}

/// Entropy in nats of counts that add up to `total`: `ln n − Σ c ln c / n`. Their number is a multiple of four.
fn entropy(counts: &[u32], total: usize) -> f64 {
    if counts.iter().any(|&count| count as usize == total) {
        return 0.0;
    }
    let table = &*COUNT_TIMES_LOG;
    let of = |count: u32| match table.get(count as usize) {
        Some(&value) => value,
        None => count_times_log(count as usize),
    };
    let mut sums = [0.0; 4];
    for counts in counts.as_chunks::<4>().0 {
        for (sum, &count) in sums.iter_mut().zip(counts) {
            *sum += of(count);
        }
    }
    libm::log(total as f64) - sums.iter().sum::<f64>() / total as f64
}
