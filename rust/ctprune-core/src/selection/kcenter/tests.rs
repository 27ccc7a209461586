//! The fast way against the naive one, and both against the best there is.

use super::*;
use crate::similarity::cosine::Embeddings;
use crate::similarity::hamming::Fingerprints;
use half::f16;

fn randoms(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

/// Embeddings in clumps, some of them equal, one without length.
fn clumps(rows: usize, features: usize, seed: u32) -> Vec<f16> {
    let mut next = randoms(seed);
    let centers: Vec<f32> = (0..7 * features).map(|_| (next() % 41) as f32 - 20.0).collect();
    let mut halves = Vec::new();
    for row in 0..rows {
        let clump = next() as usize % 7;
        for center in &centers[clump * features..][..features] {
            let number = center + (next() % 5) as f32;
            halves.push(f16::from_f32(if row == rows / 2 { 0.0 } else { number }));
        }
    }
    halves
}

fn words(rows: usize, seed: u32) -> Vec<u64> {
    let mut next = randoms(seed);
    (0..rows)
        .map(|_| u64::from(next() % 64) * u64::from(next() % 200))
        .collect()
}

fn apart_of(points: Points<'_>) -> Box<dyn Fn(usize, usize) -> f32 + '_> {
    match points {
        Points::Fingerprints(fingerprints) => Box::new(move |a, b| fingerprints.distance(a, b) as f32),
        Points::Embeddings(embeddings) => {
            let metric = Cosine(Measured::new(embeddings));
            Box::new(move |a, b| metric.apart(a, b))
        }
    }
}

/// The naive way, in the measure's own terms.
fn expected(points: Points<'_>, most: usize, until: f64) -> (f64, PointSelection) {
    let sign = if points.are_similarities() { -1.0 } else { 1.0 };
    let (_, mut selection) =
        naive::farthest_first(points.len(), apart_of(points), most, until * f64::from(sign));
    let mut radius = None;
    for row in 0..points.len() {
        let is_kept = selection.exemplar[row] as usize == row;
        if !is_kept {
            let apart = f64::from(selection.measured[row]);
            radius = Some(radius.map_or(apart, |radius: f64| radius.max(apart)));
        }
        selection.measured[row] *= sign;
        if is_kept {
            selection.measured[row] = if points.are_similarities() { 1.0 } else { 0.0 };
        }
    }
    let strictest = if points.are_similarities() { 1.0 } else { 0.0 };
    (
        radius.map_or(strictest, |radius| radius * f64::from(sign)),
        selection,
    )
}

fn each_points(seed: u32, rows: usize, check: impl Fn(Points<'_>)) {
    let (halves, words) = (clumps(rows, 6, seed), words(rows, seed));
    check(Points::Embeddings(Embeddings::new(6, &halves).unwrap()));
    check(Points::Fingerprints(Fingerprints::new(1, &words).unwrap()));
}

#[test]
fn the_fast_way_equals_the_naive_one() {
    for (seed, rows) in [(1, 1), (2, 2), (3, 40), (4, 333), (5, 700)] {
        each_points(seed, rows, |points| {
            for count in [1, 2, 9, 100, rows] {
                let count = count.min(rows);
                let found = kcenter(points, &[0, rows], Stop::Count(count), &Watch::default()).unwrap();
                assert_eq!(
                    found,
                    expected(points, count, f64::NEG_INFINITY * sign(points)),
                    "{rows}: {count}"
                );
                assert_eq!(found.1.kept(), count);
            }
            let thresholds = if points.are_similarities() {
                [1.0, 0.99, 0.9, 0.5]
            } else {
                [0.0, 1.0, 3.0, 7.0]
            };
            for threshold in thresholds {
                let stop = Stop::Threshold(threshold);
                let found = kcenter(points, &[0, rows], stop, &Watch::default()).unwrap();
                assert_eq!(
                    found,
                    expected(points, usize::MAX, threshold),
                    "{rows} at {threshold}"
                );
            }
        });
    }
}

fn sign(points: Points<'_>) -> f64 {
    if points.are_similarities() { -1.0 } else { 1.0 }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    each_points(11, 600, |points| {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| kcenter(points, &[0, 250, 250, 600], Stop::Count(77), &Watch::default()).unwrap())
        };
        assert_eq!(on(1), on(5));
    });
}

#[test]
fn groups_share_a_number_at_one_radius() {
    each_points(5, 90, |points| {
        let starts = [0, 20, 20, 50, 90];
        for count in [0, 1, 3, 10, 40, 89, 90, 200] {
            let (_, selection) = kcenter(points, &starts, Stop::Count(count), &Watch::default()).unwrap();
            assert_eq!(selection.kept(), count.clamp(3, 90));
            let apart = apart_of(points);
            let mut last: Vec<f32> = Vec::new();
            let mut next: Vec<f32> = Vec::new();
            for group in starts.windows(2).filter(|group| group[0] < group[1]) {
                let within = |a: usize, b: usize| apart(group[0] + a, group[0] + b);
                let rows = group[0]..group[1];
                let kept = rows
                    .clone()
                    .filter(|&row| selection.exemplar[row] as usize == row)
                    .count();
                let (order, _) = naive::farthest_first(rows.len(), within, usize::MAX, f64::NEG_INFINITY);
                let (_, alone) = naive::farthest_first(rows.len(), within, kept, f64::NEG_INFINITY);
                let exemplars: Vec<u32> = alone.exemplar.iter().map(|e| e + group[0] as u32).collect();
                assert_eq!(selection.exemplar[rows], exemplars);
                last.extend(order[1..kept].iter().map(|&(_, apart)| apart));
                next.extend(order[kept..].first().map(|&(_, apart)| apart));
            }
            // Nothing that was left was farther than something that was kept.
            let least = last.iter().copied().fold(f32::INFINITY, f32::min);
            assert!(next.iter().all(|&apart| apart <= least));
        }
    });
}

#[test]
fn the_radius_is_at_most_twice_the_smallest_possible() {
    for seed in 1..20 {
        let words = words(9, seed);
        let points = Points::Fingerprints(Fingerprints::new(1, &words).unwrap());
        let apart = apart_of(points);
        for count in 1..=4 {
            let (radius, _) = kcenter(points, &[0, 9], Stop::Count(count), &Watch::default()).unwrap();
            let radius_of = |set: u32| {
                let nearest = (0..9).map(|row| {
                    let centers = (0..9).filter(|center| set >> center & 1 == 1);
                    centers
                        .map(|center| apart(center, row))
                        .fold(f32::INFINITY, f32::min)
                });
                f64::from(nearest.fold(0.0, f32::max))
            };
            let sets = (0u32..1 << 9).filter(|set| set.count_ones() as usize == count);
            let best = sets.map(radius_of).fold(f64::INFINITY, f64::min);
            assert!(
                radius <= 2.0 * best,
                "{radius} with {count}, and {best} is possible"
            );
        }
    }
}

#[test]
fn it_stops_when_asked_and_refuses_groups_that_do_not_fit() {
    each_points(3, 50, |points| {
        let watch = Watch::default();
        watch.stop();
        let found = kcenter(points, &[0, 50], Stop::Count(20), &watch);
        assert_eq!(found, Err(SelectError::Stopped));
        assert!(kcenter(points, &[0, 49], Stop::Count(2), &Watch::default()).is_err());
    });
}
