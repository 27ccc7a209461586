//! Every fast path against the scalar one.

use super::lanczos::{HALF, Window, windows};
use super::*;

/// A small seeded generator (xorshift).
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// Noise, black and white, few gray values, or nearly flat.
    fn picture(&mut self, pixels: usize) -> Vec<u8> {
        let kind = self.below(4);
        let pixel = |value: u32| match kind {
            0 => value as u8,
            1 => ((value & 1) * 255) as u8,
            2 => (value % 3 * 100) as u8,
            _ => 127 + (value & 1) as u8,
        };
        (0..pixels).map(|_| pixel(self.next() >> 7)).collect()
    }
}

fn scalar_resize(gray: &[u8], rows: usize, columns: usize, out_rows: usize, out_columns: usize) -> Vec<u8> {
    let (mut between, mut out) = (vec![0; rows * out_columns], vec![0; out_rows * out_columns]);
    scalar::pass(
        &windows(columns, out_columns, 0..out_columns),
        gray,
        rows,
        &mut between,
    );
    scalar::pass(
        &windows(rows, out_rows, 0..out_rows),
        &between,
        out_columns,
        &mut out,
    );
    out
}

fn resize_on(cpu: Cpu, gray: &[u8], plan: &Plan) -> Vec<u8> {
    let mut out = vec![0; plan.vertical.len() * plan.horizontal.len()];
    plan.run_on(cpu, gray, &mut Scratch::default(), &mut out);
    out
}

#[test]
fn every_path_equals_the_scalar_one() {
    let mut random = Random(7);
    for round in 0..300 {
        let largest = [12, 40, 150][round % 3];
        let [rows, columns, out_rows, out_columns] =
            [largest, largest, 34, 34].map(|end| 1 + random.below(end));
        let gray = random.picture(rows * columns);
        let want = scalar_resize(&gray, rows, columns, out_rows, out_columns);
        let plan = Plan::new(rows, columns, out_rows, out_columns, PassOrder::HorizontalFirst);
        for cpu in Cpu::available() {
            let found = resize_on(cpu, &gray, &plan);
            assert_eq!(
                found, want,
                "{cpu:?}: {rows} × {columns} to {out_rows} × {out_columns}"
            );
        }
    }
}

/// Pixels chosen against one window, so that the estimate errs by its whole margin.
#[test]
fn the_worst_pixels_are_still_exact() {
    for in_len in [17, 100, 511, 512] {
        let windows = windows(in_len, 9, 0..9);
        let split: Vec<_> = windows.iter().map(SplitWindow::new).collect();
        for target in &split {
            let minor = target.minor.iter().flat_map(|chunk| chunk.0);
            let mut gray = vec![0; target.start * split::CHUNK];
            gray.extend(minor.map(|rest| if rest > 0 { 255 } else { 0 }));
            gray.resize(in_len, 0);
            let mut rows = gray.clone();
            rows.extend(gray.iter().map(|pixel| 255 - pixel));
            let (mut want, mut found) = ([0; 18], [0; 18]);
            scalar::pass(&windows, &rows, 2, &mut want);
            for cpu in Cpu::available() {
                pass(cpu, &split, &rows, 2, &mut Vec::new(), &mut found);
                assert_eq!(found, want, "{cpu:?}: {in_len}");
            }
        }
    }
}

#[test]
fn an_unchanged_length_changes_nothing() {
    let gray = Random(3).picture(23 * 31);
    let plan = Plan::new(23, 31, 23, 31, PassOrder::HorizontalFirst);
    assert!(
        Cpu::available()
            .into_iter()
            .all(|cpu| resize_on(cpu, &gray, &plan) == gray)
    );
}

#[test]
fn columns_first_is_rows_first_on_the_picture_turned() {
    let mut random = Random(11);
    for (rows, columns) in [(90, 20), (9, 2), (40, 1), (200, 50), (11, 10)] {
        let gray = random.picture(rows * columns);
        let mut turned = vec![0; gray.len()];
        transpose(&gray, columns, &mut turned);
        let mut want = vec![0; 72];
        transpose(&scalar_resize(&turned, columns, rows, 9, 8), 8, &mut want);
        let plan = Plan::new(rows, columns, 8, 9, PassOrder::ByShape);
        assert!(plan.vertical_first);
        assert!(
            Cpu::available()
                .into_iter()
                .all(|cpu| resize_on(cpu, &gray, &plan) == want)
        );
    }
    let first = |rows, columns| PassOrder::ByShape.is_vertical_first(rows, columns, 8, 9);
    assert!(!first(512, 512) && !first(8, 2) && !first(10, 10) && !first(1014, 512) && first(1015, 512));
}

fn put_together(window: &SplitWindow) -> Vec<i32> {
    let halves = window
        .major
        .iter()
        .zip(&window.minor)
        .flat_map(|(major, minor)| major.0.into_iter().zip(minor.0));
    halves
        .map(|(major, minor)| (i32::from(major) << window.shift) + i32::from(minor))
        .collect()
}

fn absolute_sum(window: &Window) -> i64 {
    window.weights.iter().map(|&weight| i64::from(weight).abs()).sum()
}

#[test]
fn split_coefficients_are_whole_and_no_sum_overflows() {
    for in_len in (1..80).chain((80..2100).step_by(61)) {
        for out_len in [2, 8, 9, 33] {
            for window in windows(in_len, out_len, 0..out_len) {
                let split = SplitWindow::new(&window);
                let whole = put_together(&split);
                let lead = window.start % split::CHUNK;
                assert_eq!(whole[lead..lead + window.weights.len()], window.weights);
                assert_eq!(
                    whole.iter().filter(|&&w| w != 0).count(),
                    window.weights.iter().filter(|&&w| w != 0).count()
                );
                let most = 255 * absolute_sum(&window) + i64::from(HALF) + 2 * i64::from(split.margin);
                assert!(most < i64::from(i32::MAX), "{in_len} to {out_len}");
                assert!((split.start + split.major.len()) * split::CHUNK < in_len + split::CHUNK);
            }
        }
    }
}
