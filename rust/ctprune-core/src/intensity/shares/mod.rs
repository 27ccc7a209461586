//! Where the Hounsfield units of a slice lie: the landmarks from which faults of the rescaling are seen.

use super::HuRange;
use crate::pixels::{Scale, SlicePixels, Stored};
use ctprune_cpu::{Cpu, by_cpu};
use std::ops::Range;

/// Edges of the bins in HU, ascending: a bin holds its lower edge. Air is near −1000, fat near −100, water at 0, soft
/// tissue near 40; soft tissue that lacks its rescaling lies near 1064.
pub const EDGES_HU: [f64; 10] = [
    -1500.0, -1100.0, -850.0, -500.0, -200.0, 0.0, 200.0, 850.0, 1250.0, 3000.0,
];

/// Numbers of a slice: a share for each bin, then those of the smallest and of the largest value.
pub const SHARES: usize = EDGES_HU.len() + 3;

/// Pixels in a row that are looked at together: 64 bytes of the usual 16-bit ones.
const SEGMENT: usize = 32;

/// Segments that are looked at, about, or all of fewer: enough for shares, and no time beside reading.
const SEGMENTS: usize = 1024;

/// Shares of the pixels of a slice, each in steps of 1/65535; what is there at all has at least one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares([u16; SHARES]);

impl Shares {
    /// The shares of a slice of Hounsfield units whose range is known; `None` of a picture.
    pub fn of(slice: &SlicePixels<'_>, range: HuRange) -> Option<Self> {
        let Scale::Hounsfield { slope, intercept } = slice.scale else {
            return None;
        };
        let hu = |stored: f64| stored * slope + intercept;
        let counts = match slice.stored {
            Stored::U8(s) => integers(slice, s, (slope, intercept), range),
            Stored::I8(s) => integers(slice, s, (slope, intercept), range),
            Stored::U16(s) => integers(slice, s, (slope, intercept), range),
            Stored::I16(s) => integers(slice, s, (slope, intercept), range),
            Stored::U32(s) => integers(slice, s, (slope, intercept), range),
            Stored::I32(s) => integers(slice, s, (slope, intercept), range),
            Stored::F32(s) => floats(slice, s, &hu, range),
            Stored::F64(s) => floats(slice, s, &hu, range),
        };
        (counts.pixels > 0).then(|| counts.shares())
    }

    /// Shares that were stored; `None` when they are those of no slice.
    pub fn stored(shares: [f64; SHARES]) -> Option<Self> {
        let found = Self(shares.map(|share| (share * f64::from(u16::MAX)).round() as u16));
        (!found.is_empty()).then_some(found)
    }

    /// Whether they are those of no slice: no bin holds a pixel.
    pub fn is_empty(self) -> bool {
        self.0[..=EDGES_HU.len()].iter().all(|&step| step == 0)
    }

    /// From 0 to 1: of each bin from the lowest one on, of the smallest value, of the largest.
    pub fn fractions(self) -> [f64; SHARES] {
        self.0.map(|step| f64::from(step) / f64::from(u16::MAX))
    }
}

/// Places of what else is counted, after those of the edges.
const ABOVE_MIN: usize = EDGES_HU.len();
const AT_MAX: usize = EDGES_HU.len() + 1;

/// How many of the pixels reach each edge, exceed the smallest value, and reach the largest.
#[derive(Default)]
struct Counts {
    pixels: u64,
    reach: [u64; EDGES_HU.len()],
    above_min: u64,
    at_max: u64,
}

impl Counts {
    fn shares(&self) -> Shares {
        let step = |count: u64| match count {
            0 => 0,
            _ => ((count as f64 / self.pixels as f64 * f64::from(u16::MAX)).round() as u16).max(1),
        };
        let mut steps = [0; SHARES];
        let mut below = self.pixels;
        for (bin, &reach) in self.reach.iter().enumerate() {
            steps[bin] = step(below - reach);
            below = reach;
        }
        steps[EDGES_HU.len()] = step(below);
        steps[SHARES - 2] = step(self.pixels - self.above_min);
        steps[SHARES - 1] = step(self.at_max);
        Shares(steps)
    }
}

/// The distance between segments that are looked at, such that they fall on all columns in turn.
fn every(slice: &SlicePixels<'_>) -> usize {
    let in_row = slice.columns.div_ceil(SEGMENT);
    let least = (slice.stored.len() / SEGMENT / SEGMENTS).max(1);
    (least..)
        .find(|&every| common_divisor(every, in_row) == 1)
        .expect("there are primes")
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// An integer of a file.
trait Integer: Copy + PartialOrd {
    const LOW: i64;
    const HIGH: i64;
    fn of(value: i64) -> Self;
}

macro_rules! integer {
    ($($type:ty),+) => {$(
        impl Integer for $type {
            const LOW: i64 = <$type>::MIN as i64;
            const HIGH: i64 = <$type>::MAX as i64;
            fn of(value: i64) -> Self {
                value as $type
            }
        }
    )+};
}

integer!(u8, i8, u16, i16, u32, i32);

/// Compares stored values, so that no pixel is converted, with the edges that lie within the range of the slice.
fn integers<T: Integer>(
    slice: &SlicePixels<'_>,
    stored: &[T],
    (slope, intercept): (f64, f64),
    range: HuRange,
) -> Counts {
    let hu = |stored: f64| stored * slope + intercept;
    let near = |hu: f64| (hu - intercept) / slope;
    // From here on upwards are the values of a rising scale, and those that fall short of a falling one.
    let from = |edge: i64| T::of(if slope > 0.0 { edge } else { edge + 1 });
    let mut wanted: Vec<(usize, T)> = Vec::with_capacity(AT_MAX + 1);
    for (place, &edge) in EDGES_HU.iter().enumerate() {
        if range.min_hu < edge && edge <= range.max_hu {
            wanted.push((
                place,
                from(first::<T>(slope, near(edge), |stored| hu(stored) >= edge)),
            ));
        }
    }
    if range.min_hu < range.max_hu {
        wanted.push((
            ABOVE_MIN,
            from(first::<T>(slope, near(range.min_hu), |stored| {
                hu(stored) > range.min_hu
            })),
        ));
        wanted.push((
            AT_MAX,
            from(first::<T>(slope, near(range.max_hu), |stored| {
                hu(stored) >= range.max_hu
            })),
        ));
    }
    let every = every(slice);
    let pixels = sample(stored, every).map(|segment| segment.len() as u64).sum();
    let mut reach = [0; AT_MAX + 1];
    for (reach, &edge) in reach.iter_mut().zip(&EDGES_HU) {
        *reach = if edge <= range.min_hu { pixels } else { 0 };
    }
    reach[AT_MAX] = pixels;
    let cpu = Cpu::detect();
    for group in wanted.chunks(TOGETHER) {
        let edges = std::array::from_fn(|at| group[at.min(group.len() - 1)].1);
        for (&(place, _), found) in group.iter().zip(at_least(cpu, stored, every, edges)) {
            reach[place] = if slope > 0.0 { found } else { pixels - found };
        }
    }
    Counts {
        pixels,
        reach: std::array::from_fn(|edge| reach[edge]),
        above_min: reach[ABOVE_MIN],
        at_max: reach[AT_MAX],
    }
}

/// The segments that are looked at.
fn sample<T>(stored: &[T], every: usize) -> impl Iterator<Item = &[T]> {
    stored.chunks(SEGMENT).step_by(every)
}

/// The stored value from which on `holds` is true, upwards, or downwards with a negative slope; it may be one past the
/// last. It is found at once where it is `near`.
fn first<T: Integer>(slope: f64, near: f64, holds: impl Fn(f64) -> bool) -> i64 {
    let near = (near as i64).clamp(T::LOW, T::HIGH);
    if slope > 0.0 {
        first_of(T::LOW..T::HIGH + 1, near, |stored| holds(stored as f64))
    } else {
        -first_of(-T::HIGH..1 - T::LOW, -near, |stored| holds(-stored as f64))
    }
}

/// The number of a range from which on `holds` is true, or its end.
fn first_of(range: Range<i64>, near: i64, holds: impl Fn(i64) -> bool) -> i64 {
    let Range {
        start: mut low,
        end: mut high,
    } = range;
    let mut probes = [near - 1, near + 1].into_iter();
    while low < high {
        let middle = low + (high - low) / 2;
        let at = probes
            .next()
            .filter(|at| (low..high).contains(at))
            .unwrap_or(middle);
        if holds(at) {
            high = at;
        } else {
            low = at + 1;
        }
    }
    low
}

/// Edges that a value is compared with when it is there: as many as registers hold the counts of.
const TOGETHER: usize = 5;

by_cpu! {
    /// How many of the values in the segments are at least each of some edges.
    fn at_least[T: Integer](stored: &[T], every: usize, edges: [T; TOGETHER]) -> [u64; TOGETHER] {
        let (segments, rest) = stored.as_chunks::<SEGMENT>();
        let is_looked_at = segments.len().is_multiple_of(every);
        let mut total = edges.map(|edge| {
            let found = rest.iter().filter(|&&value| value >= edge).count() as u64;
            if is_looked_at { found } else { 0 }
        });
        // Counts of 16 bits are enough for twice the segments that are looked at. Arrays of their own stay in registers.
        let [mut first, mut second, mut third, mut fourth, mut fifth] = [[0u16; SEGMENT]; TOGETHER];
        for segment in segments.iter().step_by(every) {
            for lane in 0..SEGMENT {
                first[lane] += u16::from(segment[lane] >= edges[0]);
                second[lane] += u16::from(segment[lane] >= edges[1]);
                third[lane] += u16::from(segment[lane] >= edges[2]);
                fourth[lane] += u16::from(segment[lane] >= edges[3]);
                fifth[lane] += u16::from(segment[lane] >= edges[4]);
            }
        }
        for (total, lanes) in total.iter_mut().zip([first, second, third, fourth, fifth]) {
            *total += lanes.into_iter().map(u64::from).sum::<u64>();
        }
        total
    }
}

/// Floats are converted; those that are not finite do not count.
fn floats<T: Copy + Into<f64>>(
    slice: &SlicePixels<'_>,
    stored: &[T],
    hu: &impl Fn(f64) -> f64,
    range: HuRange,
) -> Counts {
    let mut counts = Counts::default();
    for segment in sample(stored, every(slice)) {
        for value in segment
            .iter()
            .map(|&value| hu(value.into()))
            .filter(|value| value.is_finite())
        {
            counts.pixels += 1;
            for (count, edge) in counts.reach.iter_mut().zip(EDGES_HU) {
                *count += u64::from(value >= edge);
            }
            counts.above_min += u64::from(value > range.min_hu);
            counts.at_max += u64::from(value >= range.max_hu);
        }
    }
    counts
}

#[cfg(test)]
mod tests;
