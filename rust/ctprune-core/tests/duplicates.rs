//! Pairs of volumes by probes against every volume laid on every other at every shift.

mod generated;

use ctprune_core::duplicates::{Pair, Rule, Turn, Volumes, find_pairs, naive, nearest_within};
use ctprune_core::selection::SelectError;
use ctprune_core::similarity::hamming::Fingerprints;
use ctprune_core::watch::Watch;
use generated::{Random, in_pool};

/// Volumes whose slices are 64 bits that drift along the body, of which some are made from others.
#[derive(Default)]
struct Archive {
    fingerprints: Vec<u64>,
    starts: Vec<usize>,
    position_mm: Vec<f64>,
}

impl Archive {
    fn add(&mut self, slices: impl IntoIterator<Item = (f64, u64)>) -> usize {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        for (position, fingerprint) in slices {
            self.position_mm.push(position);
            self.fingerprints.push(fingerprint);
        }
        self.starts.push(self.fingerprints.len());
        self.starts.len() - 2
    }

    fn slices(&self, volume: usize) -> Vec<(f64, u64)> {
        let rows = self.starts[volume]..self.starts[volume + 1];
        rows.map(|row| (self.position_mm[row], self.fingerprints[row]))
            .collect()
    }

    fn volumes(&self) -> Volumes<'_> {
        Volumes {
            fingerprints: Fingerprints::new(1, &self.fingerprints).unwrap(),
            starts: &self.starts,
            position_mm: &self.position_mm,
        }
    }
}

fn body(random: &mut Random, slices: usize, spacing: f64) -> Vec<(f64, u64)> {
    let mut bits = random.next();
    (0..slices)
        .map(|at| {
            for _ in 0..random.below(4) {
                bits ^= 1 << random.below(64);
            }
            (at as f64 * spacing - 150.0, bits)
        })
        .collect()
}

fn noisy(random: &mut Random, bits: u64, flips: u64) -> u64 {
    (0..random.below(flips + 1)).fold(bits, |bits, _| bits ^ 1 << random.below(64))
}

fn rule() -> Rule {
    Rule {
        threshold: 6,
        min_overlap: 0.5,
        turns: Turn::ALL.to_vec(),
        hash_size: 8,
        between: None,
    }
}

/// Unrelated volumes, and of the first eight a copy each, made in different ways.
fn planted(seed: u64) -> Archive {
    let (mut random, mut archive) = (Random(seed), Archive::default());
    for _ in 0..16 {
        let slices = 30 + random.below(40) as usize;
        let volume = body(&mut random, slices, 2.5);
        archive.add(volume);
    }
    // As it is; with noise; a part; shifted; upside down along the body; every second slice; without positions; a part of
    // it, noisy, shifted and reversed.
    archive.add(archive.slices(0));
    let made: Vec<_> = archive
        .slices(1)
        .into_iter()
        .map(|(z, bits)| (z, noisy(&mut random, bits, 5)))
        .collect();
    archive.add(made);
    archive.add(archive.slices(2)[6..26].to_vec());
    archive.add(
        archive
            .slices(3)
            .into_iter()
            .map(|(z, bits)| (z + 311.3, bits))
            .collect::<Vec<_>>(),
    );
    archive.add(
        archive
            .slices(4)
            .into_iter()
            .rev()
            .map(|(z, bits)| (-z, bits))
            .collect::<Vec<_>>(),
    );
    archive.add(archive.slices(5).into_iter().step_by(2).collect::<Vec<_>>());
    archive.add(
        archive
            .slices(6)
            .into_iter()
            .map(|(_, bits)| (f64::NAN, bits))
            .collect::<Vec<_>>(),
    );
    let part = archive.slices(7)[8..28].to_vec();
    let made = part
        .into_iter()
        .rev()
        .map(|(z, bits)| (20.0 - z, noisy(&mut random, bits, 4)));
    let made: Vec<_> = made.collect();
    archive.add(made);
    archive
}

#[test]
fn planted_copies_are_found_as_by_trying_everything() {
    // The slow way takes seconds for each, on one core.
    std::thread::scope(|scope| {
        for seed in 0..6 {
            scope.spawn(move || planted_copies_are_found(seed));
        }
    });
}

fn planted_copies_are_found(seed: u64) {
    let archive = planted(seed);
    let expected = naive::find_pairs(&archive.volumes(), &rule()).unwrap();
    let copies: Vec<(u32, u32)> = (0..8).map(|copy| (copy, 16 + copy)).collect();
    let numbers = |pairs: &[Pair]| pairs.iter().map(|pair| (pair.a, pair.b)).collect::<Vec<_>>();
    assert_eq!(numbers(&expected), copies, "seed {seed}");
    let mut found = Vec::new();
    for threads in [1, 3] {
        found.push(in_pool(threads, || {
            find_pairs(&archive.volumes(), &rule(), &Watch::default()).unwrap()
        }));
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(numbers(&found[0]), copies, "seed {seed}");
    for (fast, slow) in found[0].iter().zip(&expected) {
        assert_eq!(
            (fast.turn, fast.fit.scale),
            (slow.turn, slow.fit.scale),
            "{fast:?} {slow:?}"
        );
        assert!(
            (fast.fit.shift - slow.fit.shift).abs() < 0.01,
            "{fast:?} {slow:?}"
        );
        assert_eq!(
            (fast.fit.median, fast.fit.compared),
            (slow.fit.median, slow.fit.compared)
        );
    }
    let fit = |copy: usize| found[0][copy].fit;
    assert_eq!((fit(0).median, fit(0).of_a, fit(0).of_b), (0.0, 1.0, 1.0));
    assert!(fit(2).of_b == 1.0 && fit(2).of_a < 0.7 && fit(2).overlap == 50.0);
    assert!((fit(3).shift - 311.3).abs() < 1e-6);
    assert_eq!((fit(4).scale, fit(5).scale), (-1.0, 1.0));
    assert!(!fit(6).is_in_mm && fit(5).is_in_mm);
}

#[test]
fn turned_pictures_are_found_and_named() {
    for (turn, is_mirrored, is_upside_down) in [
        (Turn::LeftRight, true, false),
        (Turn::UpDown, false, true),
        (Turn::Half, true, true),
    ] {
        let (mut random, mut archive) = (Random(5), Archive::default());
        for _ in 0..6 {
            let volume = body(&mut random, 40, 1.0);
            archive.add(volume);
        }
        // The dHash of a mirrored picture without equal neighbors, row by row of eight bits.
        let turned = |bits: u64| {
            let mut rows = bits.to_be_bytes();
            if is_mirrored {
                rows.iter_mut().for_each(|row| *row = !row.reverse_bits());
            }
            if is_upside_down {
                rows.reverse();
            }
            u64::from_be_bytes(rows)
        };
        archive.add(
            archive
                .slices(2)
                .into_iter()
                .map(|(z, bits)| (z, turned(bits)))
                .collect::<Vec<_>>(),
        );
        let found = find_pairs(&archive.volumes(), &rule(), &Watch::default()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].a, found[0].b, found[0].turn, found[0].fit.median),
            (2, 6, turn, 0.0)
        );
        let upright = Rule {
            turns: vec![Turn::None],
            ..rule()
        };
        assert_eq!(
            find_pairs(&archive.volumes(), &upright, &Watch::default()),
            Ok(vec![])
        );
    }
}

#[test]
fn pairs_between_two_sets_are_a_part_of_all() {
    let archive = planted(9);
    let all = find_pairs(&archive.volumes(), &rule(), &Watch::default()).unwrap();
    let between = Rule {
        between: Some(20),
        ..rule()
    };
    let found = find_pairs(&archive.volumes(), &between, &Watch::default()).unwrap();
    let expected: Vec<Pair> = all
        .into_iter()
        .filter(|pair| pair.a < 20 && pair.b >= 20)
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 4);
}

#[test]
fn slices_of_one_value_and_short_volumes_make_no_pair() {
    let mut archive = Archive::default();
    archive.add((0..30).map(|at| (f64::from(at), 0)));
    archive.add((0..30).map(|at| (f64::from(at), 0)));
    archive.add((0..2).map(|at| (f64::from(at), 77)));
    archive.add((0..2).map(|at| (f64::from(at), 77)));
    archive.add([]);
    assert_eq!(
        find_pairs(&archive.volumes(), &rule(), &Watch::default()),
        Ok(vec![])
    );
    assert_eq!(naive::find_pairs(&archive.volumes(), &rule()), Ok(vec![]));
}

#[test]
fn what_cannot_be_used_is_refused_and_the_search_can_be_stopped() {
    let archive = planted(1);
    for wrong in [
        Rule {
            threshold: 65,
            ..rule()
        },
        Rule {
            min_overlap: 0.0,
            ..rule()
        },
        Rule {
            min_overlap: f64::NAN,
            ..rule()
        },
    ] {
        assert!(find_pairs(&archive.volumes(), &wrong, &Watch::default()).is_err());
    }
    let short = Volumes {
        position_mm: &archive.position_mm[1..],
        ..archive.volumes()
    };
    assert!(find_pairs(&short, &rule(), &Watch::default()).is_err());
    let watch = Watch::default();
    watch.stop();
    assert_eq!(
        find_pairs(&archive.volumes(), &rule(), &watch),
        Err(SelectError::Stopped)
    );
}

#[test]
fn nearest_within_equals_comparing_with_all() {
    let mut random = Random(3);
    for (count, words) in [(0, 1), (40, 1), (3000, 1), (2000, 4)] {
        let all: Vec<u64> = (0..count * words)
            .map(|_| random.next() & random.next())
            .collect();
        let near = |random: &mut Random| {
            let row = random.below(count.max(1) as u64) as usize;
            let mut query: Vec<u64> = (0..words).map(|_| random.next()).collect();
            if count > 0 {
                query.copy_from_slice(&all[row * words..(row + 1) * words]);
            }
            for _ in 0..random.below(9) {
                query[random.below(words as u64) as usize] ^= 1 << random.below(64);
            }
            query
        };
        let queries: Vec<u64> = (0..200)
            .flat_map(|_| near(&mut random))
            .chain(vec![0; words])
            .collect();
        let (all, queries) = (
            Fingerprints::new(words, &all).unwrap(),
            Fingerprints::new(words, &queries).unwrap(),
        );
        for radius in [0, 3, 6, 12, 30, 64] {
            let found = nearest_within(all, queries, radius, &Watch::default()).unwrap();
            for (query, found) in found.into_iter().enumerate() {
                let distance = |row: usize| {
                    let pairs = all.row(row).iter().zip(queries.row(query));
                    pairs.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
                };
                let nearest = (0..all.len()).map(|row| (distance(row), row)).min();
                let expected = nearest.filter(|(bits, _)| *bits <= radius);
                assert_eq!(found, expected.map(|(bits, row)| (row as u32, bits as u16)));
            }
        }
    }
}
