//! One pass at many thresholds against the rule, at each threshold and number of threads.

use super::{cover_at, exemplars, naive};
use crate::selection::{Reach, SelectError};
use crate::similarity::drifting::{Volume, volumes};
use crate::similarity::mi::MutualInformation;
use crate::similarity::ssim::{Ssim, Window};
use crate::similarity::{Measure, PictureError, rounded};
use crate::watch::Watch;

#[test]
fn one_pass_gives_the_rule_at_every_threshold_and_number_of_threads() {
    fn check<M: Measure>(measure: &M, volume: &Volume, thresholds: &[f64]) {
        let count = volume.slices.len();
        let prepared: Vec<_> = (0..count)
            .map(|slice| measure.prepare(volume.picture(slice), None).unwrap())
            .collect();
        let matrix: Vec<Vec<f32>> = (0..count)
            .map(|a| {
                (0..a)
                    .map(|b| rounded(measure.similarity(&prepared[a], &prepared[b])))
                    .collect()
            })
            .collect();
        let value = |a: usize, b: usize| matrix[a][b];
        let slices: Vec<_> = (0..count).map(|slice| Some(volume.picture(slice))).collect();
        // Neither evenly spaced nor in order, and one unknown.
        let mut position_mm: Vec<f64> = (0..count)
            .map(|slice| (slice * 7 % count) as f64 * 1.25)
            .collect();
        position_mm[count / 2] = f64::NAN;
        let reaches = [
            Reach::ANY,
            Reach::within(&position_mm, 0.0).unwrap(),
            Reach::within(&position_mm, 5.0).unwrap(),
        ];
        for (threads, reach) in [1, 2, 5]
            .into_iter()
            .flat_map(|threads| reaches.map(|reach| (threads, reach)))
        {
            let watch = Watch::default();
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let found = pool
                .install(|| exemplars(measure, &slices, thresholds, 1.0, reach, &watch))
                .unwrap();
            assert!(found.refused.is_empty());
            assert_eq!(watch.done(), count);
            for (index, &threshold) in thresholds.iter().enumerate() {
                let expected = naive::exemplars(count, |a, b| {
                    f64::from(value(a, b)) >= threshold && reach.allows(a, b)
                });
                for (slice, expected) in expected.into_iter().enumerate() {
                    let cover = cover_at(&found.covers[slice], index);
                    assert_eq!(cover.exemplar as usize, expected);
                    let similarity = if expected == slice {
                        1.0
                    } else {
                        value(slice, expected)
                    };
                    assert_eq!(cover.similarity, similarity);
                }
            }
        }
    }
    let grid: Vec<f64> = (0..=200).map(|step| f64::from(step) / 200.0).collect();
    let above_1: Vec<f64> = grid.iter().map(|value| 1.0 + value).collect();
    for volume in volumes() {
        check(&Ssim::new(Window::Uniform), &volume, &grid);
        check(&Ssim::new(Window::Uniform), &volume, &[0.9]);
        check(&Ssim::new(Window::Gaussian), &volume, &grid[100..]);
        check(&MutualInformation, &volume, &above_1);
    }
}

#[test]
fn slices_of_other_sizes_and_missing_ones_are_kept() {
    let (one, other) = (
        Volume::drifting(20, 20, 4, 3, 5),
        Volume::drifting(20, 21, 4, 3, 5),
    );
    let tiny = Volume::drifting(6, 9, 1, 3, 5);
    let slices = [
        Some(one.picture(0)),
        Some(other.picture(0)),
        None,
        Some(tiny.picture(0)),
        Some(one.picture(1)),
        Some(other.picture(1)),
        None,
    ];
    let watch = Watch::default();
    let found = exemplars(
        &Ssim::new(Window::Uniform),
        &slices,
        &[0.1],
        1.0,
        Reach::ANY,
        &watch,
    )
    .unwrap();
    let covers = found.covers.iter();
    let exemplars: Vec<u32> = covers.map(|covers| cover_at(covers, 0).exemplar).collect();
    assert_eq!(exemplars, [0, 1, 2, 3, 0, 1, 6]);
    let smaller = PictureError::SmallerThanWindow {
        rows: 6,
        columns: 9,
        side: 7,
    };
    let sentence = "the slice, 6 × 9 pixels, is smaller than the window of SSIM, 7 × 7";
    assert_eq!(smaller.to_string(), sentence);
    assert_eq!(found.refused, [(3, smaller)]);
}

#[test]
fn a_pass_can_be_stopped() {
    let volume = Volume::drifting(20, 20, 4, 3, 5);
    let slices: Vec<_> = (0..4).map(|slice| Some(volume.picture(slice))).collect();
    let watch = Watch::default();
    watch.stop();
    let stopped = exemplars(&MutualInformation, &slices, &[1.5], 2.0, Reach::ANY, &watch);
    assert_eq!(stopped, Err(SelectError::Stopped));
}
