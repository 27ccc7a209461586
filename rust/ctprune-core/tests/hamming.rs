//! Distances against bits counted one by one.

mod generated;

use ctprune_core::similarity::hamming::{FingerprintError, Fingerprints, all_to_all, distance, pairwise};
use generated::{Random, in_pool};

fn count_bits(a: &[u64], b: &[u64]) -> u16 {
    (0..a.len() * 64)
        .filter(|bit| (a[bit / 64] ^ b[bit / 64]) >> (bit % 64) & 1 == 1)
        .count() as u16
}

fn random_words(seed: u64, count: usize) -> Vec<u64> {
    let mut random = Random(seed);
    (0..count).map(|_| random.next()).collect()
}

#[test]
fn all_lengths_and_shapes() {
    for words in [1, 2, 3, 4, 16] {
        for (rows, columns) in [(0, 3), (3, 0), (1, 1), (5, 7), (3, 1025), (40, 2100)] {
            let (a, b) = (random_words(1, rows * words), random_words(2, columns * words));
            let mut out = vec![u16::MAX; rows * columns];
            let (left, right) = (
                Fingerprints::new(words, &a).unwrap(),
                Fingerprints::new(words, &b).unwrap(),
            );
            in_pool(3, || all_to_all(left, right, &mut out)).unwrap();
            for i in 0..rows {
                for j in (0..columns).step_by(1 + columns / 50) {
                    assert_eq!(
                        out[i * columns + j],
                        count_bits(left.row(i), right.row(j)),
                        "{words} words, {i}, {j}"
                    );
                }
            }
        }
    }
}

#[test]
fn pairs() {
    for words in [1, 4, 5] {
        let (a, b) = (random_words(3, 40_000 * words), random_words(4, 40_000 * words));
        let mut out = vec![0; 40_000];
        let (a, b) = (
            Fingerprints::new(words, &a).unwrap(),
            Fingerprints::new(words, &b).unwrap(),
        );
        pairwise(a, b, &mut out).unwrap();
        assert!(
            out.iter()
                .enumerate()
                .step_by(37)
                .all(|(i, &d)| d == count_bits(a.row(i), b.row(i)))
        );
        assert_eq!(distance(a.row(7), b.row(7)), u32::from(out[7]));
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let data = [0; 4];
    let (one, two) = (
        Fingerprints::new(1, &data).unwrap(),
        Fingerprints::new(2, &data).unwrap(),
    );
    assert!(all_to_all(one, two, &mut [0; 8]).is_err());
    assert!(pairwise(one, two, &mut [0; 4]).is_err());
    let error = all_to_all(two, two, &mut [0; 3]).unwrap_err();
    assert_eq!(
        error,
        FingerprintError::Length {
            what: "distances",
            expected: 4,
            found: 3
        }
    );
    assert_eq!(error.to_string(), "expected 4 distances, found 3");
}
