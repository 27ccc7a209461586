//! The fast ways against the naive ones, on every instruction set and number of threads.

use super::leader::{Watch, cover_at, leader};
use super::mi::{self, MutualInformation};
use super::ssim::{Ssim, Window};
use super::{Measure, Picture, Verdict, naive, rounded};
use crate::cpu::Cpu;
use crate::select::SelectError;
use std::sync::atomic::Ordering;

/// A volume of discs and noise that drift from slice to slice.
struct Volume {
    rows: usize,
    columns: usize,
    slices: Vec<Vec<u8>>,
}

impl Volume {
    fn drifting(rows: usize, columns: usize, slices: usize, noise: u64, seed: u64) -> Self {
        let mut state = seed;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let slices = (0..slices)
            .map(|slice| {
                let radius = (rows / 4 + slice / 3) as i64;
                let pixel = |at: usize, random: u64| {
                    let (row, column) = ((at / columns) as i64, (at % columns) as i64);
                    let (down, along) = (row - rows as i64 / 2, column - (columns / 3 + slice / 2) as i64);
                    let base = if down * down + along * along < radius * radius {
                        140
                    } else {
                        3
                    };
                    (base + (random % (noise + 1)) as i64) as u8
                };
                (0..rows * columns).map(|at| pixel(at, random())).collect()
            })
            .collect();
        Self {
            rows,
            columns,
            slices,
        }
    }

    fn picture(&self, slice: usize) -> Picture<'_> {
        Picture {
            rows: self.rows,
            columns: self.columns,
            pixels: &self.slices[slice],
        }
    }
}

fn volumes() -> Vec<Volume> {
    vec![
        Volume::drifting(40, 33, 40, 5, 1),
        Volume::drifting(64, 50, 30, 60, 2),
        Volume::drifting(11, 11, 12, 90, 3),
        Volume::drifting(24, 70, 20, 0, 4),
    ]
}

/// With rows of windows that are longer than what is added in single precision.
fn wide() -> Volume {
    Volume::drifting(16, 600, 12, 40, 6)
}

fn similarity<M: Measure>(measure: &M, a: Picture<'_>, b: Picture<'_>) -> f64 {
    measure.similarity(
        &measure.prepare(a, None).unwrap(),
        &measure.prepare(b, None).unwrap(),
    )
}

fn gaussian() -> Vec<f64> {
    let bells: Vec<f64> = (-5..=5).map(|x| (-0.5 * f64::from(x * x) / 2.25).exp()).collect();
    let sum: f64 = bells.iter().sum();
    bells.iter().map(|bell| bell / sum).collect()
}

#[test]
fn ssim_is_the_definition() {
    for volume in volumes().into_iter().chain([wide()]) {
        for (a, b) in [(0, 0), (0, 1), (3, 9), (11, 2)] {
            let (a, b) = (volume.picture(a), volume.picture(b));
            let uniform = naive::ssim(a, b, &[1.0 / 7.0; 7], 49.0 / 48.0);
            assert!((similarity(&Ssim::new(Window::Uniform), a, b) - uniform).abs() < 1e-6);
            let weighted = naive::ssim(a, b, &gaussian(), 1.0);
            assert!((similarity(&Ssim::new(Window::Gaussian), a, b) - weighted).abs() < 1e-9);
        }
    }
}

#[test]
fn extreme_slices_keep_their_precision() {
    for (low, high) in [(0, 255), (254, 255), (0, 0), (255, 255), (0, 1)] {
        let stripes = |step: usize| -> Vec<u8> {
            let pixel = |at: usize| if at % step < step / 2 { low } else { high };
            (0..60 * 60).map(pixel).collect()
        };
        let (one, other) = (stripes(2), stripes(3));
        let picture = |pixels| Picture {
            rows: 60,
            columns: 60,
            pixels,
        };
        let (a, b) = (picture(&one[..]), picture(&other[..]));
        let expected = naive::ssim(a, b, &[1.0 / 7.0; 7], 49.0 / 48.0);
        let found = similarity(&Ssim::new(Window::Uniform), a, b);
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        let expected = naive::mutual_information(a, b);
        assert!((similarity(&MutualInformation, a, b) - expected).abs() < 1e-12);
    }
}

#[test]
fn mutual_information_is_the_definition() {
    for volume in volumes() {
        for (a, b) in [(0, 0), (0, 1), (3, 9), (11, 2)] {
            let (a, b) = (volume.picture(a), volume.picture(b));
            let expected = naive::mutual_information(a, b);
            assert!((similarity(&MutualInformation, a, b) - expected).abs() < 1e-12);
        }
    }
}

#[test]
fn counters_of_16_bits_do_not_run_over() {
    let (rows, columns) = (800, 901);
    let flat = vec![7u8; rows * columns];
    let mut spot = flat.clone();
    spot[5] = 200;
    let picture = |pixels| Picture {
        rows,
        columns,
        pixels,
    };
    let (a, b) = (picture(&spot[..]), picture(&spot[..]));
    assert!(rows * columns > mi::COUNTED && !mi::COUNTED.is_multiple_of(columns));
    assert_eq!(similarity(&MutualInformation, a, b), 2.0);
    assert_eq!(similarity(&MutualInformation, picture(&flat[..]), b), 1.0);
    assert_eq!(
        similarity(&MutualInformation, picture(&flat[..]), picture(&flat[..])),
        2.0
    );
}

#[test]
fn bins_are_those_of_a_division() {
    for width in 1..=255 {
        for above in 0..=width {
            let expected = (above * 64 / width).min(63);
            let found = mi::bin(above as u8, mi::scale(width));
            assert_eq!(usize::from(found), expected, "{above} of {width}");
        }
    }
    let pixels: Vec<u8> = (30..=230).collect();
    let on = |cpu| {
        let mut bins = vec![0; pixels.len()];
        mi::find_bins(cpu, &pixels, 30, mi::scale(200), &mut bins);
        bins
    };
    let expected: Vec<u8> = (0..=200u16)
        .map(|above| (above * 64 / 200).min(63) as u8)
        .collect();
    assert!(Cpu::available().into_iter().all(|cpu| on(cpu) == expected));
}

#[test]
fn every_processor_gives_the_same_bits() {
    for window in [Window::Uniform, Window::Gaussian] {
        for volume in volumes().into_iter().chain([wide()]) {
            let (a, b) = (volume.picture(0), volume.picture(7));
            let on = |cpu| similarity(&Ssim::on(window, cpu), a, b).to_bits();
            assert!(
                Cpu::available()
                    .into_iter()
                    .all(|cpu| on(cpu) == on(Cpu::Baseline))
            );
        }
    }
}

#[test]
fn spares_and_comparing_many_change_nothing() {
    fn check<M: Measure>(measure: &M, volume: &Volume, before: &Volume) {
        let slices = 0..volume.slices.len();
        let fresh = |slice| measure.prepare(volume.picture(slice), None).unwrap();
        let again = |slice| {
            let spare = measure.prepare(before.picture(slice % before.slices.len()), None);
            measure
                .prepare(volume.picture(slice), Some(spare.unwrap()))
                .unwrap()
        };
        let some = slices.len() / 3;
        let (fresh, again): (Vec<_>, Vec<_>) = slices.map(|slice| (fresh(slice), again(slice))).unzip();
        let (a, b) = again.split_at(some);
        let values = measure.similarities(a, b).into_iter().map(f64::to_bits);
        let pairs = fresh[..some]
            .iter()
            .flat_map(|a| fresh[some..].iter().map(move |b| (a, b)));
        assert!(values.eq(pairs.map(|(a, b)| measure.similarity(a, b).to_bits())));
        assert!(measure.similarities(&[], b).is_empty());
    }
    let volumes: Vec<_> = volumes().into_iter().chain([wide()]).collect();
    for (at, volume) in volumes.iter().enumerate() {
        let before = &volumes[(at + 1) % volumes.len()];
        check(&Ssim::new(Window::Uniform), volume, before);
        check(&Ssim::new(Window::Gaussian), volume, before);
        check(&MutualInformation, volume, before);
    }
}

#[test]
fn bounds_are_above_what_they_bound() {
    fn check<M: Measure>(measure: &M, volume: &Volume) -> usize {
        let slices = 0..volume.slices.len();
        let prepared: Vec<_> = slices
            .map(|slice| measure.prepare(volume.picture(slice), None).unwrap())
            .collect();
        let mut bounded = 0;
        for a in &prepared {
            for b in &prepared {
                let exact = measure.similarity(a, b);
                for threshold in [
                    0.1,
                    0.5,
                    exact - 1e-9,
                    exact,
                    exact + 1e-9,
                    exact + 1e-3,
                    0.99,
                    1.3,
                    1.9,
                ] {
                    match measure.compare(a, b, threshold) {
                        Verdict::Exact(similarity) => assert_eq!(similarity.to_bits(), exact.to_bits()),
                        Verdict::AtMost(bound) => {
                            assert!(
                                exact <= bound && bound < threshold + 2e-5,
                                "{exact} {bound} {threshold}"
                            );
                            assert!(exact < threshold);
                            bounded += 1;
                        }
                    }
                }
            }
        }
        bounded
    }
    for volume in volumes() {
        assert!(check(&Ssim::new(Window::Uniform), &volume) > 0);
        assert!(check(&Ssim::new(Window::Gaussian), &volume) > 0);
        assert!(check(&MutualInformation, &volume) > 0);
    }
}

#[test]
fn one_pass_gives_the_rule_at_every_threshold_and_number_of_threads() {
    fn check<M: Measure>(measure: &M, volume: &Volume, thresholds: &[f64]) {
        let count = volume.slices.len();
        let prepared: Vec<_> = (0..count)
            .map(|slice| measure.prepare(volume.picture(slice), None).unwrap())
            .collect();
        let matrix: Vec<Vec<f32>> = (0..count)
            .map(|a| {
                (0..a)
                    .map(|b| rounded(measure.similarity(&prepared[a], &prepared[b])))
                    .collect()
            })
            .collect();
        let value = |a: usize, b: usize| matrix[a][b];
        let slices: Vec<_> = (0..count).map(|slice| Some(volume.picture(slice))).collect();
        for threads in [1, 2, 5] {
            let watch = Watch::default();
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let (covers, refused) = pool
                .install(|| leader(measure, &slices, thresholds, 1.0, &watch))
                .unwrap();
            assert!(refused.is_empty());
            assert_eq!(watch.decided.load(Ordering::Relaxed), count);
            for (place, &threshold) in thresholds.iter().enumerate() {
                let expected = naive::exemplars(count, |a, b| f64::from(value(a, b)) >= threshold);
                for (slice, expected) in expected.into_iter().enumerate() {
                    let cover = cover_at(&covers[slice], place);
                    assert_eq!(cover.exemplar as usize, expected);
                    let similarity = if expected == slice {
                        1.0
                    } else {
                        value(slice, expected)
                    };
                    assert_eq!(cover.similarity, similarity);
                }
            }
        }
    }
    let grid: Vec<f64> = (0..=200).map(|step| f64::from(step) / 200.0).collect();
    let above_1: Vec<f64> = grid.iter().map(|value| 1.0 + value).collect();
    for volume in volumes() {
        check(&Ssim::new(Window::Uniform), &volume, &grid);
        check(&Ssim::new(Window::Uniform), &volume, &[0.9]);
        check(&Ssim::new(Window::Gaussian), &volume, &grid[100..]);
        check(&MutualInformation, &volume, &above_1);
    }
}

#[test]
fn slices_of_other_sizes_and_missing_ones_are_kept() {
    let (one, other) = (
        Volume::drifting(20, 20, 4, 3, 5),
        Volume::drifting(20, 21, 4, 3, 5),
    );
    let tiny = Volume::drifting(6, 9, 1, 3, 5);
    let slices = [
        Some(one.picture(0)),
        Some(other.picture(0)),
        None,
        Some(tiny.picture(0)),
        Some(one.picture(1)),
        Some(other.picture(1)),
        None,
    ];
    let watch = Watch::default();
    let (covers, refused) = leader(&Ssim::new(Window::Uniform), &slices, &[0.1], 1.0, &watch).unwrap();
    let exemplars: Vec<u32> = covers.iter().map(|covers| cover_at(covers, 0).exemplar).collect();
    assert_eq!(exemplars, [0, 1, 2, 3, 0, 1, 6]);
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0]
            .1
            .contains("6 × 9 pixels, is smaller than the window of SSIM, 7 × 7")
    );
}

#[test]
fn a_pass_can_be_stopped() {
    let volume = Volume::drifting(20, 20, 4, 3, 5);
    let slices: Vec<_> = (0..4).map(|slice| Some(volume.picture(slice))).collect();
    let watch = Watch::default();
    watch.stop.store(true, Ordering::Relaxed);
    let stopped = leader(&MutualInformation, &slices, &[1.5], 2.0, &watch);
    assert_eq!(stopped, Err(SelectError::Cancelled));
}
