//! The fast way against the naive one.

use super::*;
use crate::similarity::cosine::Embeddings;
use half::f16;

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

fn units<V: Vectors>(vectors: &V) -> Vec<Vec<f32>> {
    let unit = |row| {
        let mut out = vec![0.0; vectors.features()];
        vectors.unit(row, &mut out);
        out
    };
    (0..vectors.len()).map(unit).collect()
}

#[test]
fn the_fast_way_equals_the_naive_one() {
    for (rows, features, clusters) in [(1, 3, 1), (5, 2, 9), (90, 5, 17), (400, 33, 40), (300, 16, 150)] {
        let halves = clumps(rows, features, rows as u32);
        let embeddings = Embeddings::new(features, &halves).unwrap();
        let vectors = units(&embeddings);
        let found = kmeans(&embeddings, clusters, 7, &Watch::default()).unwrap();
        let first: Vec<Vec<f32>> = sample(rows, clusters, 8)
            .into_iter()
            .map(|row| vectors[row as usize].clone())
            .collect();
        let expected = naive::kmeans(&vectors, &first, ROUNDS);
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
    let rows = sample(1500, 2 * TRAINED_ON, 5);
    let vectors: Vec<Vec<f32>> = rows
        .iter()
        .map(|&row| units(&embeddings)[row as usize].clone())
        .collect();
    let first: Vec<Vec<f32>> = sample(vectors.len(), 2, 6)
        .into_iter()
        .map(|row| vectors[row as usize].clone())
        .collect();
    let found = kmeans(&embeddings, 2, 5, &Watch::default()).unwrap();
    assert_eq!(units(&found), naive::kmeans(&vectors, &first, ROUNDS));
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
