//! The irreversible 9/7 transform (F.3.8.2.1.2) in single precision.
//!
//! Sums and products come in the order in which OpenJPEG has them, and the high-pass half is scaled by its
//! constant, twice that of the standard, as the bands' steps leave out the gain: so all values are the same.

use super::{Axis, Bands, interleave};

const ALPHA: f32 = 1.586_134_3;
const BETA: f32 = 0.052_980_117;
const GAMMA: f32 = -0.882_911_1;
const DELTA: f32 = -0.443_506_87;
const LOW_SCALE: f32 = 1.230_174_1;
const HIGH_SCALE: f32 = 1.625_732_4;

/// The rows of a level into `target`; `halves` is scratch.
pub(crate) fn synthesize(
    bands: &Bands<'_, f32>,
    across: Axis,
    down: Axis,
    halves: &mut Vec<f32>,
    target: &mut Vec<f32>,
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2(bands, across, down, halves, target) };
    }
    baseline(bands, across, down, halves, target);
}

/// The same code, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(bands: &Bands<'_, f32>, across: Axis, down: Axis, halves: &mut Vec<f32>, target: &mut Vec<f32>) {
    baseline(bands, across, down, halves, target);
}

#[inline(always)]
fn baseline(bands: &Bands<'_, f32>, across: Axis, down: Axis, halves: &mut Vec<f32>, target: &mut Vec<f32>) {
    let width = across.len();
    halves.clear();
    halves.resize(width, 0.0);
    target.clear();
    target.resize(width * down.len(), 0.0);
    for n in 0..down.low {
        row(
            (bands.low_low, bands.high_low),
            n,
            across,
            halves,
            &mut target[(2 * n + usize::from(down.high_first)) * width..][..width],
        );
    }
    for n in 0..down.high {
        row(
            (bands.low_high, bands.high_high),
            n,
            across,
            halves,
            &mut target[(2 * n + usize::from(!down.high_first)) * width..][..width],
        );
    }
    columns(down, width, target);
}

/// Row `n` from the bands that hold its two halves.
#[inline(always)]
fn row((low, high): (&[f32], &[f32]), n: usize, axis: Axis, halves: &mut [f32], target: &mut [f32]) {
    let (low, high) = (
        &low[n * axis.low..][..axis.low],
        &high[n * axis.high..][..axis.high],
    );
    let (even, odd) = halves.split_at_mut(axis.low);
    even.copy_from_slice(low);
    odd.copy_from_slice(high);
    if axis.len() > 1 {
        even.iter_mut().for_each(|value| *value *= LOW_SCALE);
        odd.iter_mut().for_each(|value| *value *= HIGH_SCALE);
        lift(even, odd, axis.high_first, DELTA);
        lift(odd, even, !axis.high_first, GAMMA);
        lift(even, odd, axis.high_first, BETA);
        lift(odd, even, !axis.high_first, ALPHA);
    }
    interleave(even, odd, axis, target);
}

/// Adds to each sample `factor` times its two neighbors, sample n of the other half being behind sample n, or
/// before it where the other half comes first.
#[inline(always)]
fn lift(samples: &mut [f32], others: &[f32], others_first: bool, factor: f32) {
    let last = others.len() - 1;
    let add = |sample: &mut f32, before: f32, after: f32| *sample += (before + after) * factor;
    let inner = match others_first {
        true => &mut samples[..],
        false => {
            add(&mut samples[0], others[0], others[0]);
            &mut samples[1..]
        }
    };
    for ((sample, &before), &after) in inner.iter_mut().zip(others).zip(&others[1..]) {
        add(sample, before, after);
    }
    if let Some(sample) = inner.get_mut(last) {
        add(sample, others[last], others[last]);
    }
}

/// The same along columns, in rows that already lie in turns.
#[inline(always)]
fn columns(axis: Axis, width: usize, rows: &mut [f32]) {
    let height = axis.len();
    if height == 1 {
        return;
    }
    let low_parity = usize::from(axis.high_first);
    for (y, row) in rows.chunks_exact_mut(width).enumerate() {
        let scale = if y % 2 == low_parity {
            LOW_SCALE
        } else {
            HIGH_SCALE
        };
        row.iter_mut().for_each(|value| *value *= scale);
    }
    let steps = [
        (low_parity, DELTA),
        (1 - low_parity, GAMMA),
        (low_parity, BETA),
        (1 - low_parity, ALPHA),
    ];
    for (parity, factor) in steps {
        for y in (parity..height).step_by(2) {
            // At both ends the neighbors are mirrored.
            let before = if y == 0 { 1 } else { y - 1 };
            let after = if y + 1 == height { height - 2 } else { y + 1 };
            let (head, rest) = rows.split_at_mut(y * width);
            let (row, tail) = rest.split_at_mut(width);
            let neighbor = |at: usize| match at < y {
                true => &head[at * width..][..width],
                false => &tail[(at - y - 1) * width..][..width],
            };
            for ((sample, &before), &after) in row.iter_mut().zip(neighbor(before)).zip(neighbor(after)) {
                *sample += (before + after) * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_compilations_give_the_same() {
        let (across, down) = (Axis::new(3, 70), Axis::new(0, 41));
        let band = |rows: usize, columns: usize| -> Vec<f32> {
            (0..rows * columns)
                .map(|n| ((n * 7919) % 1000) as f32 / 3.0)
                .collect()
        };
        let bands = Bands {
            low_low: &band(down.low, across.low),
            high_low: &band(down.low, across.high),
            low_high: &band(down.high, across.low),
            high_high: &band(down.high, across.high),
        };
        let (mut fast, mut plain) = (Vec::new(), Vec::new());
        synthesize(&bands, across, down, &mut Vec::new(), &mut fast);
        baseline(&bands, across, down, &mut Vec::new(), &mut plain);
        assert_eq!(plain.len(), across.len() * down.len());
        assert_eq!(fast, plain);
    }
}
