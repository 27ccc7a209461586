//! The reversible 5/3 transform (F.3.8.2.1.1): whole numbers, first along rows, then along columns.
//!
//! A row is finished as soon as the rows that it depends on are there, so that a level is gone through once.

use super::{Axis, Bands, interleave};

/// Rows in work, kept from level to level.
#[derive(Default)]
pub(crate) struct Rows {
    /// Low and high half of a row before they are interleaved.
    even: Vec<i32>,
    odd: Vec<i32>,
    /// A row of the low-pass half.
    low: Vec<i32>,
    /// The last two rows of the high-pass half.
    high: [Vec<i32>; 2],
    /// The last two finished even rows.
    done: [Vec<i32>; 2],
    /// A finished odd row.
    between: Vec<i32>,
}

impl Rows {
    fn resize(&mut self, width: usize) {
        let [high, high_before] = &mut self.high;
        let [done, done_before] = &mut self.done;
        let rows = [
            high,
            high_before,
            done,
            done_before,
            &mut self.low,
            &mut self.between,
        ];
        for row in rows.into_iter().chain([&mut self.even, &mut self.odd]) {
            row.clear();
            row.resize(width, 0);
        }
    }
}

/// Calls `sink` with the rows of a level, from top to bottom.
pub(crate) fn synthesize<S: FnMut(&[i32])>(
    bands: &Bands<'_, i32>,
    across: Axis,
    down: Axis,
    rows: &mut Rows,
    sink: &mut S,
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2(bands, across, down, rows, sink) };
    }
    baseline(bands, across, down, rows, sink);
}

/// The same code, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<S: FnMut(&[i32])>(bands: &Bands<'_, i32>, across: Axis, down: Axis, rows: &mut Rows, sink: &mut S) {
    baseline(bands, across, down, rows, sink);
}

#[inline(always)]
fn baseline<S: FnMut(&[i32])>(
    bands: &Bands<'_, i32>,
    across: Axis,
    down: Axis,
    rows: &mut Rows,
    sink: &mut S,
) {
    rows.resize(across.len());
    let Rows {
        even,
        odd,
        low,
        high: [high, high_before],
        done: [done, done_before],
        between,
    } = rows;
    let mut halves = (even, odd);
    let low_bands = (bands.low_low, bands.high_low);
    let high_bands = (bands.low_high, bands.high_high);
    if down.len() == 1 {
        if down.high_first {
            row(high_bands, 0, across, &mut halves, high);
            high.iter_mut().for_each(|value| *value /= 2);
            sink(high);
        } else {
            row(low_bands, 0, across, &mut halves, low);
            sink(low);
        }
        return;
    }
    // In front of even row n lies odd row n − 1, or n if the first row is odd.
    let ahead = usize::from(down.high_first);
    if down.high_first {
        row(high_bands, 0, across, &mut halves, high);
    }
    for n in 0..down.low {
        std::mem::swap(high, high_before);
        // At both ends the odd rows are mirrored.
        match n + ahead < down.high {
            true => row(high_bands, n + ahead, across, &mut halves, high),
            false => high.copy_from_slice(high_before),
        }
        row(low_bands, n, across, &mut halves, low);
        std::mem::swap(done, done_before);
        let before = if n == 0 && !down.high_first {
            &*high
        } else {
            &*high_before
        };
        update(low, before, high, done);
        if n > 0 || down.high_first {
            let above = if n == 0 { &*done } else { &*done_before };
            predict(high_before, above, done, between);
            sink(between);
        }
        sink(done);
    }
    if down.high == down.low + ahead {
        predict(high, done, done, between);
        sink(between);
    }
}

/// Even samples: less a quarter of their neighbors.
#[inline(always)]
fn update(low: &[i32], before: &[i32], after: &[i32], even: &mut [i32]) {
    for (((even, &low), &before), &after) in even.iter_mut().zip(low).zip(before).zip(after) {
        *even = low.wrapping_sub(before.wrapping_add(after).wrapping_add(2) >> 2);
    }
}

/// Odd samples: plus half of their neighbors.
#[inline(always)]
fn predict(high: &[i32], before: &[i32], after: &[i32], odd: &mut [i32]) {
    for (((odd, &high), &before), &after) in odd.iter_mut().zip(high).zip(before).zip(after) {
        *odd = high.wrapping_add(before.wrapping_add(after) >> 1);
    }
}

/// Row `n` from the bands that hold its two halves.
#[inline(always)]
fn row(
    (low, high): (&[i32], &[i32]),
    n: usize,
    axis: Axis,
    (even, odd): &mut (&mut Vec<i32>, &mut Vec<i32>),
    target: &mut [i32],
) {
    let (low, high) = (
        &low[n * axis.low..][..axis.low],
        &high[n * axis.high..][..axis.high],
    );
    if axis.len() == 1 {
        target[0] = if axis.high_first { high[0] / 2 } else { low[0] };
        return;
    }
    let (even, odd) = (&mut even[..axis.low], &mut odd[..axis.high]);
    let (last_even, last_odd) = (axis.low - 1, axis.high - 1);
    if axis.high_first {
        // Even sample n lies between odd samples n and n + 1.
        let inner = axis.high - 1;
        update(&low[..inner], high, &high[1..], even);
        if axis.low > inner {
            update(
                &low[last_even..],
                &high[last_odd..],
                &high[last_odd..],
                &mut even[last_even..],
            );
        }
        predict(&high[..1], even, even, odd);
        predict(&high[1..], even, &even[1..], &mut odd[1..]);
        if axis.high > axis.low {
            predict(
                &high[last_odd..],
                &even[last_even..],
                &even[last_even..],
                &mut odd[last_odd..],
            );
        }
    } else {
        update(&low[..1], high, high, even);
        update(&low[1..], high, &high[1..], &mut even[1..]);
        if axis.low > axis.high {
            update(
                &low[last_even..],
                &high[last_odd..],
                &high[last_odd..],
                &mut even[last_even..],
            );
        }
        predict(high, even, &even[1..], odd);
        if axis.high == axis.low {
            predict(
                &high[last_odd..],
                &even[last_even..],
                &even[last_even..],
                &mut odd[last_odd..],
            );
        }
    }
    interleave(even, odd, axis, target);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_compilations_give_the_same() {
        for (x0, y0, x1, y1) in [(0, 0, 70, 41), (1, 3, 60, 20), (5, 0, 6, 9), (1, 1, 2, 2)] {
            let (across, down) = (Axis::new(x0, x1), Axis::new(y0, y1));
            let band = |rows: usize, columns: usize| -> Vec<i32> {
                (0..rows * columns)
                    .map(|n| (n as i32 * 7919) % 1000 - 500)
                    .collect()
            };
            let bands = [
                (down.low, across.low),
                (down.low, across.high),
                (down.high, across.low),
            ];
            let [low_low, high_low, low_high] = bands.map(|(rows, columns)| band(rows, columns));
            let bands = Bands {
                low_low: &low_low,
                high_low: &high_low,
                low_high: &low_high,
                high_high: &band(down.high, across.high),
            };
            let (mut fast, mut plain) = (Vec::new(), Vec::new());
            synthesize(
                &bands,
                across,
                down,
                &mut Rows::default(),
                &mut |row: &[i32]| fast.extend_from_slice(row),
            );
            baseline(
                &bands,
                across,
                down,
                &mut Rows::default(),
                &mut |row: &[i32]| plain.extend_from_slice(row),
            );
            assert_eq!(plain.len(), across.len() * down.len());
            assert_eq!(fast, plain);
        }
    }
}
