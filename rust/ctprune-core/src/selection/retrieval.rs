//! Retrieval: keep the points that are closest to a target set, which is other points of the same kind.
//!
//! As the images nearest to curated ones are retrieved by Oquab et al., DINOv2: Learning Robust Visual Features without
//! Supervision (2023).

use super::kmeans::{Centroids, Vectors, assign};
use super::{NO_EXEMPLAR, PointSelection, Points, SelectError, check_count};
use crate::option::OptionError;
use crate::watch::Watch;
use rayon::prelude::*;

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
            let nearest = |row: usize| {
                if watch.is_stopped() {
                    return Err(SelectError::Stopped);
                }
                let own = points.row(row);
                let distances = (0..targets.len()).map(|target| {
                    let words = own.iter().zip(targets.row(target));
                    words.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
                });
                Ok(distances.min().unwrap_or(0) as f32)
            };
            (0..points.len()).into_par_iter().map(nearest).collect()
        }
        (Points::Embeddings(points), Points::Embeddings(targets))
            if Vectors::features(&points) == Vectors::features(&targets) =>
        {
            Ok(assign(&points, &Centroids::of(&targets)).similarity)
        }
        _ => Err(OptionError::new("target", "slices that are described in the same way", "others").into()),
    }
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
    use super::super::kmeans::{naive::similarity, tests::clumps};
    use super::*;
    use crate::similarity::cosine::Embeddings;
    use crate::similarity::hamming::Fingerprints;

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

    fn check(points: Points<'_>, targets: Points<'_>, close: &[f32], sign: f32) {
        let watch = Watch::default();
        assert_eq!(closeness(points, targets, &watch).unwrap(), close);
        for count in [0, 1, 7, close.len(), close.len() + 3] {
            let (reached, found) = retrieval(points, targets, count, &watch).unwrap();
            let kept: Vec<usize> = (0..close.len())
                .filter(|&row| found.exemplar[row] == row as u32)
                .collect();
            let rule = expected(close, sign, count);
            assert_eq!(kept, rule);
            let last = rule.iter().map(|&row| sign * close[row]).reduce(f32::min);
            assert_eq!(reached, last.map(|last| f64::from(sign * last)));
        }
    }

    #[test]
    fn the_closest_are_kept() {
        let (a, b) = (clumps(120, 9, 3), clumps(31, 9, 4));
        let (a, b) = (Embeddings::new(9, &a).unwrap(), Embeddings::new(9, &b).unwrap());
        let unit = |of: Embeddings<'_>, row| {
            let mut out = vec![0.0; 9];
            of.unit(row, &mut out);
            out
        };
        let close: Vec<f32> = (0..120)
            .map(|row| {
                let all = (0..31).map(|target| similarity(&unit(a, row), &unit(b, target)));
                all.fold(f32::NEG_INFINITY, f32::max)
            })
            .collect();
        check(Points::Embeddings(a), Points::Embeddings(b), &close, 1.0);

        let words: Vec<u64> = (0..100u64)
            .map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50)
            .collect();
        let (own, others) = words.split_at(70);
        let close: Vec<f32> = own
            .iter()
            .map(|a| others.iter().map(|b| (a ^ b).count_ones()).min().unwrap() as f32)
            .collect();
        let of = |words| Points::Fingerprints(Fingerprints::new(1, words).unwrap());
        check(of(own), of(others), &close, -1.0);
        assert!(closeness(of(own), of(&[]), &Watch::default()).is_err());
        assert!(closeness(of(own), Points::Embeddings(a), &Watch::default()).is_err());
    }
}
