//! The fast way against the naive one.

use super::*;
use crate::watch::Watch;
use half::f16;

/// Embeddings that wander: neighbors are similar, with jumps; as halves of whole numbers up to 2048, which are exact.
fn wandering(rows: usize, features: usize, seed: u32) -> Vec<f16> {
    let mut state = seed;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut now: Vec<i32> = (0..features).map(|_| (next() % 64) as i32).collect();
    let mut halves = Vec::new();
    for _ in 0..rows {
        let jump = next() % 10 == 0;
        for value in &mut now {
            let step = (next() % if jump { 61 } else { 7 }) as i32;
            *value = (*value + step - if jump { 30 } else { 3 }).clamp(-100, 100);
        }
        halves.extend(now.iter().map(|&value| half_of(value)));
    }
    halves
}

fn half_of(value: i32) -> f16 {
    f16::from_f32(value as f32)
}

#[test]
fn the_fast_way_equals_the_naive_one() {
    for (round, &(rows, features)) in [(0, 3), (1, 1), (5, 7), (33, 16), (150, 40), (700, 9)]
        .iter()
        .enumerate()
    {
        let halves = wandering(rows, features, 17 + round as u32);
        let embeddings = Embeddings::new(features, &halves).unwrap();
        let groups: Vec<Vec<usize>> = vec![vec![0, rows], vec![0, rows / 3, rows / 3, rows / 2, rows]];
        for starts in &groups {
            let position_mm: Vec<f64> = (0..rows).map(|row| (row % 41) as f64 * 0.75).collect();
            for reach in [Reach::ANY, Reach::within(&position_mm, 6.0).unwrap()] {
                for threshold in [-1.0, 0.0, 0.5, 0.9, 0.97, 0.999, 1.0] {
                    let expected = naive::exemplars(embeddings, starts, threshold, reach).unwrap();
                    let found = exemplars(embeddings, starts, threshold, reach, &Watch::default()).unwrap();
                    assert_eq!(found, expected, "{rows} × {features} at {threshold}");
                }
            }
        }
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let halves = wandering(600, 24, 5);
    let embeddings = Embeddings::new(24, &halves).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| exemplars(embeddings, &[0, 600], 0.98, Reach::ANY, &Watch::default()).unwrap())
    };
    assert_eq!(on(1), on(5));
}

#[test]
fn keeping_a_fraction_equals_trying_all_angles() {
    for seed in 1..12 {
        let halves = wandering(120, 6, seed);
        let embeddings = Embeddings::new(6, &halves).unwrap();
        let starts = [0, 50, 120];
        let position_mm: Vec<f64> = (0..120).map(|row| f64::from(row) * 2.5).collect();
        let reaches = [Reach::ANY, Reach::within(&position_mm, 12.5).unwrap()];
        let trials = [0.05, 0.2, 0.5, 0.8, 1.0].into_iter();
        for (fraction, reach) in trials.flat_map(|fraction| reaches.map(|reach| (fraction, reach))) {
            let (threshold, selection) =
                threshold_for_keep(embeddings, &starts, fraction, reach, &Watch::default()).unwrap();
            let off = |kept: usize| (kept as f64 - fraction * 120.0).abs();
            let tried = angles().into_iter().map(|degrees| {
                let threshold = if degrees == 90.0 {
                    0.0
                } else {
                    libm::cos(degrees.to_radians())
                };
                let kept = naive::exemplars(embeddings, &starts, threshold, reach)
                    .unwrap()
                    .kept();
                (threshold, off(kept))
            });
            let best = tried.fold((f64::NAN, f64::INFINITY), |best, trial| {
                if trial.1 < best.1 { trial } else { best }
            });
            assert_eq!(
                (threshold, off(selection.kept())),
                best,
                "seed {seed}, {fraction}"
            );
        }
    }
}

#[test]
fn equal_embeddings_have_similarity_one_and_empty_ones_none() {
    let row: Vec<f16> = (1..2049).map(|i| half_of(i % 97)).collect();
    let mut halves = [row.clone(), row].concat();
    halves.resize(4 * 2048, f16::ZERO);
    let embeddings = Embeddings::new(2048, &halves).unwrap();
    let found = exemplars(embeddings, &[0, 4], 1.0, Reach::ANY, &Watch::default()).unwrap();
    assert_eq!(found.exemplar, [0, 0, 2, 3]);
    assert_eq!(found.similarity[1], 1.0);
}

#[test]
fn what_cannot_be_used_is_refused() {
    assert!(Embeddings::new(0, &[]).is_err());
    assert!(Embeddings::new(2, &[f16::ZERO; 3]).is_err());
    assert!(Embeddings::new(1, &[f16::INFINITY]).is_err());
    let embeddings = Embeddings::new(1, &[f16::ONE; 3]).unwrap();
    for threshold in [f64::NAN, 1.01, -1.01] {
        assert!(exemplars(embeddings, &[0, 3], threshold, Reach::ANY, &Watch::default()).is_err());
    }
    assert!(exemplars(embeddings, &[0, 2], 0.5, Reach::ANY, &Watch::default()).is_err());
    let stopped = Watch::default();
    stopped.stop();
    assert_eq!(
        exemplars(embeddings, &[0, 3], 0.5, Reach::ANY, &stopped),
        Err(SelectError::Stopped)
    );
}
