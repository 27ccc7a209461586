//! The greedy exemplar rule within clusters of embeddings: near-duplicates in different clusters are not found, so that
//! the rule is approximate, and the pairs to compare are fewer by the number of clusters.
//!
//! Abbas et al., `SemDeDup`: Data-efficient learning at web-scale through semantic deduplication (2023). Which of some
//! near-duplicates stays is that paper's choice by similarity to the centroid; here it is the first in order.

use super::cosine::{CosineSelection, angles, exemplars, kept_by_angle, threshold_of};
use super::keep_fraction::{check_fraction, nearest_kept};
use super::kmeans::{OnDevice, assign, kmeans, members};
use super::{PointSelection, Reach, SelectError, check_count};
use crate::similarity::cosine::Embeddings;
use crate::similarity::cosine::lanes::halves;
use crate::watch::Watch;
use rayon::prelude::*;

/// What ends it.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Rows of a cluster are similar when their cosine is at least this.
    Threshold(f64),
    /// The cosine among those of [`angles`] that keeps nearest to this fraction.
    Fraction(f64),
}

/// Clusters the rows by [`kmeans`] and applies the greedy exemplar rule to each cluster; returns the threshold as well.
/// Once `watch` is stopped, the result is [`SelectError::Stopped`].
pub fn semdedup(
    vectors: OnDevice<'_>,
    clusters: usize,
    seed: u64,
    until: Until,
    watch: &Watch,
) -> Result<(f64, PointSelection), SelectError> {
    let embeddings = vectors.embeddings;
    check_count(embeddings.len())?;
    let centroids = kmeans(&vectors, clusters, seed, watch)?;
    let groups = members(&assign(&vectors, &centroids, watch)?.cluster, clusters);
    let select = |threshold: f64| within(embeddings, &groups, threshold, watch);
    match until {
        Until::Threshold(threshold) => Ok((threshold, select(threshold)?)),
        Until::Fraction(fraction) => {
            check_fraction(fraction)?;
            let counts = groups
                .par_iter()
                .map(|rows| kept_by_angle(embeddings, rows, watch));
            let none = || Ok(vec![0; angles().len()]);
            let kept: Vec<usize> = counts.try_reduce_with(add).unwrap_or_else(none)?;
            let nearest = nearest_kept(kept, fraction * embeddings.len() as f64).unwrap_or(0);
            let threshold = threshold_of(angles()[nearest]);
            Ok((threshold, select(threshold)?))
        }
    }
}

fn add(a: Vec<usize>, b: Vec<usize>) -> Result<Vec<usize>, SelectError> {
    Ok(a.into_iter().zip(b).map(|(a, b)| a + b).collect())
}

/// The rule in each group of rows.
fn within(
    embeddings: Embeddings<'_>,
    groups: &[Vec<u32>],
    threshold: f64,
    watch: &Watch,
) -> Result<PointSelection, SelectError> {
    let select = |rows: &Vec<u32>| {
        let numbers: Vec<_> = rows
            .iter()
            .flat_map(|&row| halves(embeddings, row as usize))
            .copied()
            .collect();
        let own = embeddings.same_features(&numbers);
        exemplars(own, &[0, rows.len()], threshold, Reach::ANY, watch)
    };
    let found: Vec<CosineSelection> = groups.par_iter().map(select).collect::<Result<_, _>>()?;
    let mut selection = PointSelection {
        exemplar: (0..embeddings.len() as u32).collect(),
        measured: vec![1.0; embeddings.len()],
    };
    for (rows, found) in groups.iter().zip(found) {
        for ((&row, exemplar), similarity) in rows.iter().zip(found.exemplar).zip(found.similarity) {
            selection.exemplar[row as usize] = rows[exemplar as usize];
            selection.measured[row as usize] = similarity;
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::super::cosine;
    use super::super::kmeans::tests::clumps;
    use super::*;

    #[test]
    fn it_is_the_rule_within_each_cluster() {
        let halves_of = clumps(250, 6, 4);
        let embeddings = Embeddings::new(6, &halves_of).unwrap();
        for clusters in [1, 8] {
            let watch = Watch::default();
            let centroids = kmeans(&embeddings, clusters, 3, &watch).unwrap();
            let cluster = assign(&embeddings, &centroids, &watch).unwrap().cluster;
            for threshold in [0.8, 0.95, 0.999] {
                let until = Until::Threshold(threshold);
                let (used, found) = semdedup(embeddings.into(), clusters, 3, until, &watch).unwrap();
                assert_eq!(used, threshold);
                let mut kept: Vec<usize> = Vec::new();
                for row in 0..250 {
                    let similar = kept.iter().find(|&&k| {
                        let similarity = crate::similarity::cosine::similarity(embeddings, row, k);
                        cluster[k] == cluster[row] && f64::from(similarity) >= threshold
                    });
                    assert_eq!(found.exemplar[row] as usize, similar.copied().unwrap_or(row));
                    if similar.is_none() {
                        kept.push(row);
                    }
                }
            }
        }
    }

    #[test]
    fn no_rows_are_no_selection() {
        let embeddings = Embeddings::new(6, &[]).unwrap();
        for until in [Until::Threshold(0.9), Until::Fraction(0.5)] {
            let (_, found) = semdedup(embeddings.into(), 4, 0, until, &Watch::default()).unwrap();
            assert_eq!(found.kept(), 0);
        }
    }

    #[test]
    fn one_cluster_is_the_exact_rule() {
        let halves_of = clumps(200, 6, 5);
        let embeddings = Embeddings::new(6, &halves_of).unwrap();
        let watch = Watch::default();
        for fraction in [0.05, 0.3, 1.0] {
            let (threshold, found) =
                semdedup(embeddings.into(), 1, 0, Until::Fraction(fraction), &watch).unwrap();
            let (expected, exact) =
                cosine::threshold_for_keep(embeddings, &[0, 200], fraction, Reach::ANY, &watch).unwrap();
            assert_eq!((threshold, found.exemplar), (expected, exact.exemplar));
        }
    }
}
