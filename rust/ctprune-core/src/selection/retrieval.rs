//! Retrieval: keep the points that are closest to a target set, which is other points of the same kind.
//!
//! As the images nearest to curated ones are retrieved by Oquab et al., DINOv2: Learning Robust Visual Features without
//! Supervision (2023).

use super::{NO_EXEMPLAR, PointSelection, Points, SelectError, check_count};
use crate::option::OptionError;
use crate::similarity::cosine::Embeddings;
use crate::similarity::cosine::estimate::{Directions, error, estimates};
use crate::similarity::cosine::lanes::Measured;
use crate::similarity::hamming::{Fingerprints, all_to_all};
use crate::watch::Watch;
use rayon::prelude::*;

/// Points that are compared with targets at a time.
const ROWS: usize = 64;

/// Targets that all points are compared with before the next ones: only of these there are directions.
const COLUMNS: usize = 1024;

/// How close each point is to the nearest target: a Hamming distance, or a cosine similarity.
///
/// Once `watch` is stopped, the result is [`SelectError::Stopped`].
pub fn closeness(points: Points<'_>, targets: Points<'_>, watch: &Watch) -> Result<Vec<f32>, SelectError> {
    check_count(points.len())?;
    check_count(targets.len())?;
    if targets.is_empty() {
        return Err(OptionError::new("target", "a set of at least one slice", "none").into());
    }
    match (points, targets) {
        (Points::Fingerprints(points), Points::Fingerprints(targets)) if points.bits() == targets.bits() => {
            of_fingerprints(points, targets, watch)
        }
        (Points::Embeddings(points), Points::Embeddings(targets))
            if points.features() == targets.features() =>
        {
            of_embeddings(points, targets, watch)
        }
        _ => Err(unlike()),
    }
}

fn unlike() -> SelectError {
    OptionError::new("target", "slices that are described in the same way", "others").into()
}

fn of_fingerprints(
    points: Fingerprints<'_>,
    targets: Fingerprints<'_>,
    watch: &Watch,
) -> Result<Vec<f32>, SelectError> {
    let mut least = vec![f32::INFINITY; points.len()];
    let blocks = least.par_chunks_mut(ROWS).enumerate();
    blocks.try_for_each(|(block, least)| {
        let rows = points.range(block * ROWS, block * ROWS + least.len());
        let mut distances = vec![0; least.len() * COLUMNS];
        for first in (0..targets.len()).step_by(COLUMNS) {
            if watch.is_stopped() {
                return Err(SelectError::Stopped);
            }
            let some = targets.range(first, targets.len().min(first + COLUMNS));
            let distances = &mut distances[..least.len() * some.len()];
            all_to_all(rows, some, distances).map_err(|_| unlike())?;
            for (least, distances) in least.iter_mut().zip(distances.chunks_exact(some.len())) {
                let nearest = distances.iter().copied().min().map_or(f32::INFINITY, f32::from);
                *least = least.min(nearest);
            }
        }
        Ok(())
    })?;
    Ok(least)
}

/// Estimates say which targets may be the nearest; only these are compared exactly.
fn of_embeddings(
    points: Embeddings<'_>,
    targets: Embeddings<'_>,
    watch: &Watch,
) -> Result<Vec<f32>, SelectError> {
    let (own, others) = (Measured::new(points), Measured::new(targets));
    let error = error(points.features());
    let mut most = vec![f32::NEG_INFINITY; points.len()];
    for first in (0..targets.len()).step_by(COLUMNS) {
        let mut directions = Directions::new(targets.features());
        for target in first..targets.len().min(first + COLUMNS) {
            others.push(&mut directions, target);
        }
        let numbers: Vec<u32> = (0..directions.len() as u32).collect();
        let blocks = most.par_chunks_mut(ROWS).enumerate();
        blocks.try_for_each(|(block, most)| {
            if watch.is_stopped() {
                return Err(SelectError::Stopped);
            }
            let mut rows = Directions::new(points.features());
            for row in (block * ROWS..).take(most.len()) {
                own.push(&mut rows, row);
            }
            let all: Vec<u32> = (0..most.len() as u32).collect();
            let mut near = Vec::new();
            estimates(&rows, &all, &directions, &numbers, &mut near);
            let lines = near.chunks_exact(numbers.len());
            for ((row, most), near) in (block * ROWS..).zip(most.iter_mut()).zip(lines) {
                let top = near.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for (target, &estimate) in (first..).zip(near) {
                    if estimate >= top - 2.0 * error && estimate > *most - error {
                        *most = most.max(own.similarity_to(row, &others, target));
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(most)
}

/// Keeps the `count` points that are closest to the targets, ties to the first in order; no kept one stands for another.
/// Returns also how close the last one of them is.
pub fn retrieval(
    points: Points<'_>,
    targets: Points<'_>,
    count: usize,
    watch: &Watch,
) -> Result<(Option<f64>, PointSelection), SelectError> {
    let close = closeness(points, targets, watch)?;
    let similarities = points.are_similarities();
    let mut order: Vec<usize> = (0..points.len()).collect();
    // Stable: of equals the first.
    order.par_sort_by(|&a, &b| {
        let ordering = close[a].total_cmp(&close[b]);
        if similarities {
            ordering.reverse()
        } else {
            ordering
        }
    });
    order.truncate(count);
    let mut selection = PointSelection {
        exemplar: vec![NO_EXEMPLAR; points.len()],
        measured: vec![f32::NAN; points.len()],
    };
    for &row in &order {
        selection.exemplar[row] = row as u32;
        selection.measured[row] = if similarities { 1.0 } else { 0.0 };
    }
    Ok((order.last().map(|&row| f64::from(close[row])), selection))
}

#[cfg(test)]
mod tests {
    use super::super::kmeans::tests::clumps;
    use super::*;

    /// The rule word for word: the nearest target of each, then the closest ones.
    fn expected(close: &[f32], sign: f32, count: usize) -> Vec<usize> {
        let mut left: Vec<usize> = (0..close.len()).collect();
        let mut kept = Vec::new();
        while kept.len() < count.min(close.len()) {
            let best = left
                .iter()
                .copied()
                .reduce(|a, b| if sign * close[b] > sign * close[a] { b } else { a });
            kept.extend(best);
            left.retain(|row| Some(*row) != best);
        }
        kept.sort_unstable();
        kept
    }

    fn kept(points: Points<'_>, targets: Points<'_>, count: usize) -> (Option<f64>, Vec<usize>) {
        let (reached, found) = retrieval(points, targets, count, &Watch::default()).unwrap();
        let is_kept = |row: &usize| found.exemplar[*row] == *row as u32;
        (reached, (0..points.len()).filter(is_kept).collect())
    }

    fn check(points: Points<'_>, targets: Points<'_>, close: &[f32], sign: f32) {
        assert_eq!(closeness(points, targets, &Watch::default()).unwrap(), close);
        for count in [0, 1, 7, close.len(), close.len() + 3] {
            let rule = expected(close, sign, count);
            let last = rule.iter().map(|&row| sign * close[row]).reduce(f32::min);
            let reached = last.map(|last| f64::from(sign * last));
            assert_eq!(kept(points, targets, count), (reached, rule));
        }
    }

    fn words(rows: u64) -> Vec<u64> {
        (0..rows)
            .map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50)
            .collect()
    }

    fn fingerprints(words: &[u64]) -> Points<'_> {
        Points::Fingerprints(Fingerprints::new(1, words).unwrap())
    }

    #[test]
    fn the_closest_are_kept() {
        for (rows, targets) in [(120, 31), (70, 2 * COLUMNS + 5)] {
            let (a, b) = (clumps(rows, 9, 3), clumps(targets, 9, 4));
            let both = [&a[..], &b[..]].concat();
            let exact = Measured::new(Embeddings::new(9, &both).unwrap());
            let nearest = |row| {
                let all = (rows..rows + targets).map(|target| exact.similarity(row, target));
                all.fold(f32::NEG_INFINITY, f32::max)
            };
            let close: Vec<f32> = (0..rows).map(nearest).collect();
            let (a, b) = (Embeddings::new(9, &a).unwrap(), Embeddings::new(9, &b).unwrap());
            check(Points::Embeddings(a), Points::Embeddings(b), &close, 1.0);

            let words = words((rows + targets) as u64);
            let (own, others) = words.split_at(rows);
            let nearest = |a: &u64| others.iter().map(|b| (a ^ b).count_ones()).min().unwrap() as f32;
            let close: Vec<f32> = own.iter().map(nearest).collect();
            check(fingerprints(own), fingerprints(others), &close, -1.0);
        }
    }

    /// Each has itself as a target: all are as close, and the first are kept.
    #[test]
    fn of_its_own_targets_the_first_are_kept() {
        let halves = clumps(300, 70, 5);
        let embeddings = Points::Embeddings(Embeddings::new(70, &halves).unwrap());
        // One has no length.
        let first: Vec<usize> = (0..300).filter(|&row| row != 150).collect();
        for count in [1, 100, 299] {
            assert_eq!(
                kept(embeddings, embeddings, count),
                (Some(1.0), first[..count].to_vec())
            );
        }
        let words = words(300);
        let points = fingerprints(&words);
        assert_eq!(kept(points, points, 40), (Some(0.0), (0..40).collect()));
    }

    #[test]
    fn targets_of_another_kind_are_refused_and_it_stops_when_asked() {
        let (halves, words) = (clumps(9, 4, 2), words(9));
        let embeddings = Points::Embeddings(Embeddings::new(4, &halves).unwrap());
        let points = fingerprints(&words);
        let watch = Watch::default();
        assert!(closeness(points, fingerprints(&[]), &watch).is_err());
        assert!(closeness(points, embeddings, &watch).is_err());
        let wider = Points::Fingerprints(Fingerprints::new(3, &words).unwrap());
        assert!(closeness(points, wider, &watch).is_err());
        watch.stop();
        for points in [points, embeddings] {
            assert_eq!(closeness(points, points, &watch), Err(SelectError::Stopped));
        }
    }
}
