//! The lazy way against the plain one, and the graph against all pairs.

use super::*;
use crate::selection::kmeans::Vectors;
use crate::selection::kmeans::tests::clumps;
use crate::similarity::cosine::Embeddings;
use crate::similarity::hamming::Fingerprints;

fn words(rows: usize) -> Vec<u64> {
    let mut state = 77u32;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..rows)
        .map(|_| u64::from(next() % 64) * u64::from(next() % 300))
        .collect()
}

fn each_points(rows: usize, check: impl Fn(Points<'_>)) {
    let (halves, words) = (clumps(rows, 6, 21), words(rows));
    check(Points::Embeddings(Embeddings::new(6, &halves).unwrap()));
    check(Points::Fingerprints(Fingerprints::new(1, &words).unwrap()));
}

fn every_edge(points: Points<'_>, row: usize, other: usize) -> Edge {
    match points {
        Points::Fingerprints(fingerprints) => {
            Edge::by_distance(other, fingerprints.distance(row, other), fingerprints.bits())
        }
        Points::Embeddings(embeddings) => {
            let (mut a, mut b) = (vec![0.0; 6], vec![0.0; 6]);
            embeddings.unit(row, &mut a);
            embeddings.unit(other, &mut b);
            Edge::by_similarity(other, a.iter().zip(&b).fold(0.0, |sum, (a, b)| sum + a * b))
        }
    }
}

#[test]
fn the_graph_holds_the_nearest_of_all_pairs() {
    let starts = [0, 70, 70, 90, 200];
    each_points(200, |points| {
        let found = graph(points, &starts, &Watch::default()).unwrap();
        for group in starts.windows(2) {
            for (row, found) in found.iter().enumerate().take(group[1]).skip(group[0]) {
                let mut all: Vec<Edge> = (group[0]..group[1])
                    .map(|other| every_edge(points, row, other))
                    .collect();
                all.sort_by_key(|edge| (Reverse(edge.weight), edge.to));
                all.truncate(NEIGHBORS);
                assert_eq!(*found, all, "{row}");
            }
        }
    });
}

#[test]
fn the_lazy_way_equals_the_plain_one() {
    each_points(90, |points| {
        let graph = graph(points, &[0, 40, 90], &Watch::default()).unwrap();
        for count in [0, 1, 7, 30, 90, 200] {
            let found = lazy_greedy(&graph, count, &Watch::default()).unwrap();
            assert_eq!(found, naive::greedy(&graph, count));
        }
    });
}

#[test]
fn exemplars_are_the_most_similar_kept_neighbors() {
    each_points(120, |points| {
        let watch = Watch::default();
        let found = facility(points, &[0, 120], 9, &watch).unwrap();
        assert_eq!(found.kept(), 9);
        let graph = graph(points, &[0, 120], &watch).unwrap();
        let is_kept = |row: u32| found.exemplar[row as usize] == row;
        for (row, edges) in graph.iter().enumerate() {
            let most = edges
                .iter()
                .filter(|edge| is_kept(edge.to))
                .map(|edge| edge.weight)
                .max();
            match found.exemplar[row] {
                NO_EXEMPLAR => assert_eq!(most, None),
                exemplar if exemplar as usize == row => (),
                exemplar => {
                    let edge = every_edge(points, row, exemplar as usize);
                    assert_eq!((Some(edge.weight), edge.measured), (most, found.measured[row]));
                }
            }
        }
    });
}

#[test]
fn the_number_of_threads_does_not_matter() {
    each_points(500, |points| {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                facility(points, &[0, 500], 40, &Watch::default())
                    .unwrap()
                    .exemplar
            })
        };
        assert_eq!(on(1), on(5));
    });
}
