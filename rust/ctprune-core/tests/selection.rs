//! The fast selections against the naive rule, on kind and unkind fingerprints.

mod generated;

use ctprune_core::option::OptionError;
use ctprune_core::selection::hamming::{BLOCK, dataset_exemplars, naive, near_exemplars, volume_exemplars};
use ctprune_core::selection::{Reach, SelectError};
use ctprune_core::similarity::hamming::{FingerprintError, Fingerprints};
use generated::{Random, Set, in_pool, never_stop};
use std::ops::ControlFlow;

/// Compares both scopes with the naive rule on pools of several sizes.
#[track_caller]
fn assert_exact(set: &Set, threshold: u32, threads: &[usize]) {
    let all = set.fingerprints();
    let in_dataset = naive::dataset_exemplars(all, threshold);
    let in_volumes = naive::volume_exemplars(all, &set.starts, threshold);
    for &threads in threads {
        let (dataset, volumes) = in_pool(threads, || {
            (
                dataset_exemplars(all, threshold, &mut never_stop),
                volume_exemplars(all, &set.starts, threshold),
            )
        });
        assert_eq!(
            dataset, in_dataset,
            "{}, data set, threshold {threshold}, {threads} threads",
            set.name
        );
        assert_eq!(
            volumes, in_volumes,
            "{}, volumes, threshold {threshold}, {threads} threads",
            set.name
        );
    }
}

#[test]
fn every_radius_on_every_kind() {
    for set in Set::every_kind(700, 1) {
        for threshold in 0..=64 {
            assert_exact(&set, threshold, &[1, 3]);
        }
    }
}

#[test]
fn every_pool_over_several_blocks() {
    for set in Set::every_kind(BLOCK + 205, 1) {
        for threshold in [0, 3, 6, 10, 20] {
            assert_exact(&set, threshold, &[1, 2, 3, 8]);
        }
    }
}

#[test]
fn many_kept_so_that_the_index_is_cut_anew() {
    let set = Set::walks(6 * BLOCK, 1, 250, 3);
    for threshold in [4, 6] {
        assert_exact(&set, threshold, &[2]);
    }
}

#[test]
fn longer_fingerprints() {
    for words in [2, 4, 5, 16] {
        let bits = 64 * words as u32;
        for set in Set::every_kind(500, words) {
            for threshold in [0, 1, 3, 7, bits / 11, bits / 4, bits / 2, bits] {
                assert_exact(&set, threshold, &[2]);
            }
        }
    }
}

#[test]
fn longer_fingerprints_over_several_blocks() {
    for words in [2, 4, 16] {
        let set = Set::walks(2 * BLOCK + 9, words, 300, 3 * words);
        for threshold in [0, words as u32 - 1, 6 * words as u32] {
            assert_exact(&set, threshold, &[1, 2]);
        }
    }
}

#[test]
fn exemplars_across_block_boundaries() {
    // The same few fingerprints at both sides of each boundary, among unrelated ones.
    let mut random = Random(5);
    let mut data: Vec<u64> = (0..3 * BLOCK).map(|_| random.next()).collect();
    for block in 1..3 {
        for offset in 0..4 {
            data[block * BLOCK - 1 - offset] = data[offset] ^ 0b11;
            data[block * BLOCK + offset] = data[BLOCK / 2 + offset] ^ 0b111;
        }
    }
    let set = Set::new("boundaries", 1, data, vec![0, 3 * BLOCK]);
    for threshold in [1, 2, 3, 6] {
        assert_exact(&set, threshold, &[1, 2]);
    }
}

#[test]
fn large_volumes_and_empty_ones() {
    let mut set = Set::walks(3 * BLOCK + 100, 1, 300, 3);
    set.starts = vec![0, 0, 50, 50, 2 * BLOCK + 60, 3 * BLOCK + 100, 3 * BLOCK + 100];
    for threshold in [0, 6, 12] {
        assert_exact(&set, threshold, &[1, 2]);
    }
}

#[test]
fn nothing_and_one() {
    for rows in [0, 1] {
        for set in Set::every_kind(rows, 1) {
            for threshold in [0, 6, 64] {
                assert_exact(&set, threshold, &[1, 2]);
            }
        }
    }
}

#[test]
fn progress_counts_rows_and_can_stop() {
    let set = Set::walks(3 * BLOCK + 1, 1, 300, 3);
    let mut seen = Vec::new();
    let result = dataset_exemplars(set.fingerprints(), 6, &mut |done| {
        seen.push(done);
        ControlFlow::Continue(())
    });
    assert!(result.is_ok());
    assert_eq!(seen, [BLOCK, 2 * BLOCK, 3 * BLOCK, 3 * BLOCK + 1]);
    let stopped = dataset_exemplars(set.fingerprints(), 6, &mut |_| ControlFlow::Break(()));
    assert_eq!(stopped, Err(SelectError::Stopped));
}

#[test]
fn wrong_input_is_refused() {
    let data = [1, 2, 3];
    assert_eq!(
        Fingerprints::new(2, &data).unwrap_err(),
        FingerprintError::Shape { words: 2, found: 3 }
    );
    assert!(Fingerprints::new(0, &data).is_err());
    assert!(Fingerprints::new(17, &[0; 17]).is_err());
    let all = Fingerprints::new(1, &data).unwrap();
    let threshold = SelectError::Option(OptionError::new("threshold", "0 to 64 bits", 65));
    assert_eq!(threshold.to_string(), "threshold 65: expected 0 to 64 bits");
    assert_eq!(
        dataset_exemplars(all, 65, &mut never_stop),
        Err(threshold.clone())
    );
    assert_eq!(volume_exemplars(all, &[0, 3], 65), Err(threshold));
    for starts in [&[][..], &[0], &[0, 2], &[1, 3], &[0, 4], &[0, 2, 1, 3]] {
        assert_eq!(
            volume_exemplars(all, starts, 6),
            Err(SelectError::Volumes {
                slices: 3,
                found: starts.to_vec()
            }),
            "{starts:?}"
        );
    }
}

#[test]
fn an_exemplar_lies_near_on_any_number_of_threads() {
    for set in Set::every_kind(700, 1) {
        let all = set.fingerprints();
        // Ascending by 1.25 mm, as positions are; in no order; with unknown ones, and a volume that has none.
        let ascending: Vec<f64> = (0..700).map(|row| f64::from(row) * 1.25 - 300.0).collect();
        let shuffled: Vec<f64> = (0..700).map(|row| f64::from(row * 89 % 700) * 0.1).collect();
        let mut some: Vec<f64> = ascending.clone();
        some.iter_mut()
            .step_by(7)
            .for_each(|position| *position = f64::NAN);
        some[set.starts[1]..set.starts[2]].fill(f64::NAN);
        for position_mm in [&ascending, &shuffled, &some] {
            for max_gap_mm in [0.0, 1.25, 10.0, 1e6] {
                let reach = Reach::within(position_mm, max_gap_mm).unwrap();
                for threshold in [0, 3, 6, 20, 64] {
                    let expected = naive::near_exemplars(all, &set.starts, threshold, reach).unwrap();
                    for (row, &exemplar) in expected.exemplar.iter().enumerate() {
                        let gap = (position_mm[row] - position_mm[exemplar as usize]).abs();
                        assert!(gap.is_nan() || gap <= max_gap_mm + 1e-3);
                    }
                    for threads in [1, 3] {
                        let found = in_pool(threads, || near_exemplars(all, &set.starts, threshold, reach));
                        assert_eq!(found.as_ref(), Ok(&expected), "{}, {max_gap_mm} mm", set.name);
                    }
                }
            }
        }
        let far = Reach::within(&ascending, 1e6).unwrap();
        let unbounded = volume_exemplars(all, &set.starts, 6).unwrap();
        assert_eq!(near_exemplars(all, &set.starts, 6, far).unwrap(), unbounded);
        assert_eq!(
            near_exemplars(all, &set.starts, 6, Reach::ANY).unwrap(),
            unbounded
        );
    }
}

#[test]
fn a_gap_and_positions_are_checked() {
    let set = Set::walks(9, 1, 3, 3);
    for max_gap_mm in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(Reach::within(&[], max_gap_mm).is_err());
    }
    let position_mm = [0.0; 8];
    let found = near_exemplars(
        set.fingerprints(),
        &set.starts,
        6,
        Reach::within(&position_mm, 5.0).unwrap(),
    );
    assert_eq!(
        found.unwrap_err().to_string(),
        "expected positions of 9 slices, found 8"
    );
}
