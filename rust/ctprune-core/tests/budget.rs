//! Selections of a wanted size: every n-th, random, and the threshold for a fraction.

mod generated;

use ctprune_core::option::OptionError;
use ctprune_core::selection::hamming::{Scope, naive, threshold_for_keep};
use ctprune_core::selection::{NO_DISTANCE, NO_EXEMPLAR, Reach, SelectError, Selection, every_n, random};
use generated::{Set, in_pool, never_stop};
use std::ops::ControlFlow;

/// Tries every threshold.
fn best_by_trial(set: &Set, scope: Scope<'_>, fraction: f64) -> (u32, Selection) {
    let all = set.fingerprints();
    let wanted = fraction * all.len() as f64;
    let off = |selection: &Selection| (selection.kept() as f64 - wanted).abs();
    let select = |threshold| match scope {
        Scope::Dataset => naive::dataset_exemplars(all, threshold).unwrap(),
        Scope::Volumes(starts, reach) => naive::near_exemplars(all, starts, threshold, reach).unwrap(),
    };
    let mut best = (0, select(0));
    for threshold in 1..=all.bits() {
        let selection = select(threshold);
        if off(&selection) < off(&best.1) {
            best = (threshold, selection);
        }
    }
    best
}

#[test]
fn nearest_fraction_is_that_of_all_radii() {
    for words in [1, 2] {
        for set in Set::every_kind(300, words) {
            let position_mm: Vec<f64> = (0..300).map(|row| f64::from(row % 60) * 1.5).collect();
            let scopes = [
                Scope::Dataset,
                Scope::Volumes(&set.starts, Reach::ANY),
                Scope::Volumes(&set.starts, Reach::within(&position_mm, 9.0).unwrap()),
            ];
            for scope in scopes {
                for fraction in [0.001, 0.02, 0.1, 0.18, 0.4, 0.7, 1.0] {
                    let found = threshold_for_keep(set.fingerprints(), scope, fraction, &mut never_stop);
                    assert_eq!(
                        found.unwrap(),
                        best_by_trial(&set, scope, fraction),
                        "{}, {fraction}",
                        set.name
                    );
                }
            }
        }
    }
}

#[test]
fn fraction_is_checked_and_search_can_stop() {
    let set = Set::walks(50, 1, 25, 3);
    for fraction in [0.0, -1.0, 1.5, f64::NAN] {
        assert!(threshold_for_keep(set.fingerprints(), Scope::Dataset, fraction, &mut never_stop).is_err());
    }
    for scope in [Scope::Dataset, Scope::Volumes(&set.starts, Reach::ANY)] {
        let stopped = threshold_for_keep(set.fingerprints(), scope, 0.5, &mut |_| ControlFlow::Break(()));
        assert_eq!(stopped, Err(SelectError::Stopped));
    }
}

#[test]
fn every_nth_starts_anew_in_each_volume() {
    let selection = every_n(&[0, 5, 5, 7], 2).unwrap();
    assert_eq!(selection.exemplar, [0, 0, 2, 2, 4, 5, 5]);
    assert_eq!(
        selection.distance,
        [0, NO_DISTANCE, 0, NO_DISTANCE, 0, 0, NO_DISTANCE]
    );
    assert_eq!(every_n(&[0, 3], 1).unwrap(), Selection::all(3).unwrap());
    let refused = SelectError::Option(OptionError::new("n", "1 or more", 0));
    assert_eq!(every_n(&[0, 3], 0), Err(refused));
    assert!(every_n(&[], 2).is_err());
}

#[test]
fn distances_can_be_measured_afterwards() {
    let set = Set::walks(20, 2, 10, 6);
    let mut selection = every_n(&set.starts, 3).unwrap();
    selection.measure(set.fingerprints()).unwrap();
    for row in 0..20 {
        let exemplar = selection.exemplar[row] as usize;
        assert_eq!(
            u32::from(selection.distance[row]),
            set.fingerprints().distance(row, exemplar)
        );
    }
    assert!(selection.measure(set.fingerprints().range(0, 3)).is_err());
}

#[test]
fn random_samples_have_the_size_asked_for() {
    let starts = [0, 10, 10, 13, 1000];
    let count = random(&starts, |_| 5, 1).unwrap();
    let kept = |selection: &Selection, v: usize| {
        (starts[v]..starts[v + 1])
            .filter(|&r| selection.is_kept(r))
            .count()
    };
    assert_eq!([0, 1, 2, 3].map(|v| kept(&count, v)), [5, 0, 3, 5]);
    let part = random(&starts, |volume| (volume.len() + 2) / 4, 1).unwrap();
    assert_eq!([0, 1, 2, 3].map(|v| kept(&part, v)), [3, 0, 1, 247]);
    let dropped = (0..1000).find(|&row| !part.is_kept(row)).unwrap();
    assert_eq!(
        (part.exemplar[dropped], part.distance[dropped]),
        (NO_EXEMPLAR, NO_DISTANCE)
    );
    assert!(random(&[], |_| 1, 1).is_err());
}

#[test]
fn random_samples_follow_the_seed_alone() {
    let sample = |seed, count| random(&[0, 500], |_| count, seed).unwrap();
    assert_eq!(sample(3, 50), in_pool(3, || sample(3, 50)));
    assert_ne!(sample(3, 50), sample(4, 50));
    // A smaller sample is part of a larger one.
    let (small, large) = (sample(3, 50), sample(3, 200));
    assert!((0..500).all(|row| !small.is_kept(row) || large.is_kept(row)));
    // The same on every machine: this sample must never change.
    let kept: Vec<usize> = (0..500).filter(|&row| sample(1, 5).is_kept(row)).collect();
    assert_eq!(kept, [119, 192, 250, 305, 379]);
}
