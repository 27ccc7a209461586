//! The fast way against the naive one.

use super::*;
use crate::similarity::cosine::Embeddings;
use half::f16;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Embeddings in clumps of different sizes, some equal, one without length.
pub(crate) fn clumps(rows: usize, features: usize, seed: u32) -> Vec<f16> {
    let mut state = seed;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let centers: Vec<f32> = (0..9 * features).map(|_| (next() % 41) as f32 - 20.0).collect();
    let mut halves = Vec::new();
    for row in 0..rows {
        let clump = (next() % 9).min(next() % 9) as usize;
        for center in &centers[clump * features..][..features] {
            let number = center + (next() % 7) as f32;
            halves.push(f16::from_f32(if row == rows / 2 { 0.0 } else { number }));
        }
    }
    halves
}

pub(crate) fn units<V: Vectors>(vectors: &V) -> Vec<Vec<f32>> {
    let unit = |row| {
        let mut out = vec![0.0; vectors.features()];
        vectors.unit(row, &mut out);
        out
    };
    (0..vectors.len()).map(unit).collect()
}

/// [`kmeans`] word for word.
pub(crate) fn naive_kmeans(vectors: &[Vec<f32>], clusters: usize, seed: u64) -> Vec<Vec<f32>> {
    let rows = sample(vectors.len(), clusters * TRAINED_ON, seed);
    naive_kmeans_of(vectors, &rows, clusters, seed)
}

/// [`kmeans_of`] word for word.
pub(crate) fn naive_kmeans_of(
    vectors: &[Vec<f32>],
    rows: &[u32],
    clusters: usize,
    seed: u64,
) -> Vec<Vec<f32>> {
    let of = |numbers: &[u32], from: &[Vec<f32>]| -> Vec<Vec<f32>> {
        numbers
            .iter()
            .map(|&number| from[number as usize].clone())
            .collect()
    };
    let chosen = of(rows, vectors);
    let first = of(&sample(chosen.len(), clusters, seed + 1), &chosen);
    naive::kmeans(&chosen, &first, ROUNDS)
}

#[test]
fn the_fast_way_equals_the_naive_one() {
    for (rows, features, clusters) in [(1, 3, 1), (5, 2, 9), (90, 5, 17), (400, 33, 40), (300, 16, 150)] {
        let halves = clumps(rows, features, rows as u32);
        let embeddings = Embeddings::new(features, &halves).unwrap();
        let vectors = units(&embeddings);
        let found = kmeans(&embeddings, clusters, 7, &Watch::default()).unwrap();
        let expected = naive_kmeans(&vectors, clusters, 7);
        assert_eq!(units(&found), expected, "{rows} × {features} in {clusters}");
        let assigned = assign(&embeddings, &found, &Watch::default()).unwrap();
        let pairs: Vec<(u32, f32)> = assigned.cluster.into_iter().zip(assigned.similarity).collect();
        assert_eq!(pairs, naive::assign(&vectors, &expected));
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let halves = clumps(900, 24, 3);
    let embeddings = Embeddings::new(24, &halves).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| kmeans(&embeddings, 31, 0, &Watch::default()).unwrap())
    };
    assert_eq!(on(1), on(5));
}

#[test]
fn many_vectors_are_sampled_by_the_seed() {
    assert_eq!(sample(5, 9, 0), [0, 1, 2, 3, 4]);
    let (one, other) = (sample(1000, 30, 0), sample(1000, 30, 1));
    assert_eq!(one.len(), 30);
    assert!(one.is_sorted());
    assert_ne!(one, other);
    let halves = clumps(1500, 4, 9);
    let embeddings = Embeddings::new(4, &halves).unwrap();
    let found = kmeans(&embeddings, 2, 5, &Watch::default()).unwrap();
    assert_eq!(units(&found), naive_kmeans(&units(&embeddings), 2, 5));
}

#[test]
fn it_stops_when_asked() {
    let halves = clumps(50, 4, 2);
    let embeddings = Embeddings::new(4, &halves).unwrap();
    let watch = Watch::default();
    let centroids = kmeans(&embeddings, 3, 0, &watch).unwrap();
    watch.stop();
    assert_eq!(kmeans(&embeddings, 3, 0, &watch), Err(SelectError::Stopped));
    assert_eq!(assign(&embeddings, &centroids, &watch), Err(SelectError::Stopped));
}

#[test]
fn no_vectors_have_no_clusters() {
    let embeddings = Embeddings::new(4, &[]).unwrap();
    let watch = Watch::default();
    let found = kmeans(&embeddings, 3, 0, &watch).unwrap();
    assert!(found.is_empty());
    assert!(assign(&embeddings, &found, &watch).unwrap().cluster.is_empty());
}

/// A device that answers so often, and whose products are off by so much of the length of a row: less for the centroid
/// that is nearest, more for all others.
struct Rough<'a> {
    embeddings: Embeddings<'a>,
    off: f64,
    answers: AtomicUsize,
}

impl<'a> Rough<'a> {
    fn new(embeddings: Embeddings<'a>, off: f64, answers: usize) -> Self {
        Self {
            embeddings,
            off,
            answers: AtomicUsize::new(answers),
        }
    }
}

impl Device for Rough<'_> {
    fn nearest(&self, rows: &[u32], centroids: &Centroids) -> Option<Guesses> {
        let left = |left: usize| left.checked_sub(1);
        self.answers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .ok()?;
        let guess = |&row: &u32| {
            let mut unit = vec![0.0; Vectors::features(&self.embeddings)];
            self.embeddings.unit(row as usize, &mut unit);
            let scale = self.embeddings.scale(row as usize);
            let length = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let product = |centroid| -> f64 {
                let pairs = unit.iter().zip(centroids.row(centroid));
                pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
            };
            let mut products: Vec<(f64, u32)> =
                (0..centroids.len()).map(|at| (product(at), at as u32)).collect();
            let descending = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0);
            products.sort_by(descending);
            for (rank, (product, _)) in products.iter_mut().enumerate() {
                *product = (*product + if rank == 0 { -self.off } else { self.off }) * length;
            }
            products.sort_by(descending);
            let second = products.get(1).map_or(f64::NEG_INFINITY, |second| second.0);
            (products[0].1, (products[0].0 - second) as f32)
        };
        let (cluster, margin) = rows.iter().map(guess).unzip();
        Some(Guesses { cluster, margin })
    }
}

#[test]
fn a_device_changes_nothing_even_if_it_fails() {
    for (rows, features, clusters) in [(1, 3, 1), (90, 5, 17), (400, 33, 40)] {
        let halves = clumps(rows, features, rows as u32);
        let embeddings = Embeddings::new(features, &halves).unwrap();
        let watch = Watch::default();
        let expected = kmeans(&embeddings, clusters, 7, &watch).unwrap();
        let assigned = assign(&embeddings, &expected, &watch).unwrap();
        for answers in [0, 1, 2, 3, usize::MAX] {
            let rough = Rough::new(embeddings, 0.45 * device::error(features), answers);
            let vectors = OnDevice {
                embeddings,
                device: Some(&rough),
            };
            assert_eq!(kmeans(&vectors, clusters, 7, &watch).unwrap(), expected);
            assert_eq!(assign(&vectors, &expected, &watch).unwrap(), assigned);
            assert!(rough.answers.into_inner() < answers.max(1), "it was not asked");
        }
    }
}

/// Rows between two opposite centroids, by less and by more than what a device may be off, and the two.
fn near_ties() -> Vec<f16> {
    let rows = (-99i16..100).flat_map(|steps| {
        let tiny = f16::from_bits(steps.unsigned_abs());
        [f16::ONE, f16::ZERO, if steps < 0 { -tiny } else { tiny }]
    });
    let ends = [f16::ONE, f16::ZERO, f16::ONE, f16::ONE, f16::ZERO, -f16::ONE];
    ends.into_iter().chain(rows).collect()
}

#[test]
fn the_margin_is_as_wide_as_the_error() {
    let halves = near_ties();
    let embeddings = Embeddings::new(3, &halves).unwrap();
    let centroids = Centroids::of_rows(&embeddings, &[0, 1]);
    let watch = Watch::default();
    let expected = assign(&embeddings, &centroids, &watch).unwrap();
    assert!(expected.cluster.contains(&0) && expected.cluster.contains(&1));
    let with = |times: f64| {
        let rough = Rough::new(embeddings, times * device::error(3), 1);
        let vectors = OnDevice {
            embeddings,
            device: Some(&rough),
        };
        assign(&vectors, &centroids, &watch).unwrap()
    };
    assert_eq!(with(0.0), expected);
    assert_eq!(with(0.45), expected);
    assert_ne!(with(1.5), expected, "as wide as the error, and no wider");
}

#[test]
fn a_device_is_asked_no_more_once_it_is_stopped() {
    let halves = clumps(50, 4, 2);
    let embeddings = Embeddings::new(4, &halves).unwrap();
    let rough = Rough::new(embeddings, 0.0, 9);
    let vectors = OnDevice {
        embeddings,
        device: Some(&rough),
    };
    let watch = Watch::default();
    let centroids = kmeans(&embeddings, 3, 0, &watch).unwrap();
    watch.stop();
    assert_eq!(assign(&vectors, &centroids, &watch), Err(SelectError::Stopped));
}
