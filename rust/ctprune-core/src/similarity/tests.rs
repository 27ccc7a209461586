//! The fast ways against the naive ones, on every instruction set.

use super::drifting::{Volume, volumes};
use super::mi::{self, MutualInformation};
use super::ssim::{Ssim, Window};
use super::{Measure, Picture, Verdict, naive};
use ctprune_cpu::Cpu;

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
