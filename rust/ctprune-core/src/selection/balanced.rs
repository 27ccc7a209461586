//! Hierarchical k-means with balanced sampling: as many rows from every part of the space of embeddings, however many
//! fell into it.
//!
//! Written from Vo et al., Automatic Data Curation for Self-Supervised Learning: A Clustering-Based Approach (2024):
//! centroids are clustered again, level by level; at each level the rows or centroids that are nearest to the centroids
//! are clustered anew a few times, so that dense regions draw no more centroids than others; then a number of rows is
//! shared out evenly from the top level down.

use super::kmeans::{Centroids, OnDevice, Vectors, assign, kmeans, kmeans_of, members};
use super::sample::ranks;
use super::shares::even_shares;
use super::{NO_EXEMPLAR, PointSelection, SelectError, check_count};
use crate::watch::Watch;

/// Levels above the rows, where there are clusters enough.
const LEVELS: usize = 3;

/// Clusters of a level for each one of the level above.
const FEWER: usize = 8;

/// How often the nearest rows of all clusters are clustered anew, at each level.
const RESAMPLED: usize = 2;

/// Clusters of each level, from that of the rows on.
pub fn levels(clusters: usize) -> Vec<usize> {
    let fewer = std::iter::successors(Some(clusters), |&above| {
        (above > FEWER).then(|| above.div_ceil(FEWER))
    });
    fewer.take(LEVELS).collect()
}

/// Keeps `count` rows: shared out evenly among the clusters of the top level, what each gets among its own clusters, and
/// so on; of the lowest clusters a seeded sample. No kept row stands for another one. Once `watch` is stopped, the result is
/// [`SelectError::Stopped`].
pub fn balanced(
    vectors: OnDevice<'_>,
    clusters: usize,
    count: usize,
    seed: u64,
    watch: &Watch,
) -> Result<PointSelection, SelectError> {
    check_count(vectors.len())?;
    let mut numbers = levels(clusters).into_iter();
    let lowest = numbers.next().unwrap_or(1);
    let mut centroids = resampled(&vectors, lowest, seed, watch)?;
    let assignment = assign(&vectors, &centroids, watch)?;
    // Of each level, the members of its clusters: rows, or clusters of the level below.
    let mut tree = vec![members(&assignment.cluster, centroids.len())];
    for number in numbers {
        let above = resampled(&centroids, number, seed, watch)?;
        tree.push(members(&assign(&centroids, &above, watch)?.cluster, above.len()));
        centroids = above;
    }
    let mut exemplar = vec![NO_EXEMPLAR; vectors.len()];
    let mut measured = vec![f32::NAN; vectors.len()];
    for row in sample(&tree, count, seed) {
        (exemplar[row as usize], measured[row as usize]) = (row, 1.0);
    }
    Ok(PointSelection { exemplar, measured })
}

/// k-means, then k-means of the vectors that are nearest to the centroids: of each cluster half as many as clusters have
/// on average.
fn resampled<V: Vectors>(
    vectors: &V,
    clusters: usize,
    seed: u64,
    watch: &Watch,
) -> Result<Centroids, SelectError> {
    let mut centroids = kmeans(vectors, clusters, seed, watch)?;
    for _ in 0..RESAMPLED {
        let assignment = assign(vectors, &centroids, watch)?;
        let nearest = (vectors.len() / (2 * centroids.len().max(1))).clamp(1, 256);
        let mut rows: Vec<u32> = Vec::new();
        for mut members in members(&assignment.cluster, centroids.len()) {
            let similarity = |row: u32| assignment.similarity[row as usize];
            members.sort_by(|&a, &b| similarity(b).total_cmp(&similarity(a)).then(a.cmp(&b)));
            rows.extend(members.into_iter().take(nearest));
        }
        rows.sort_unstable();
        centroids = kmeans_of(vectors, &rows, clusters, seed, watch)?;
    }
    Ok(centroids)
}

/// Rows from a tree of clusters, the level of rows first.
fn sample(tree: &[Vec<Vec<u32>>], count: usize, seed: u64) -> Vec<u32> {
    // Rows below each cluster of each level.
    let mut sizes: Vec<Vec<usize>> = Vec::new();
    for level in tree {
        let size = |cluster: &Vec<u32>| match sizes.last() {
            None => cluster.len(),
            Some(below) => cluster.iter().map(|&member| below[member as usize]).sum(),
        };
        sizes.push(level.iter().map(size).collect());
    }
    let mut shares = sizes.last().map_or(Vec::new(), |top| even_shares(top, count));
    for level in (1..tree.len()).rev() {
        let mut below = vec![0; tree[level - 1].len()];
        for (cluster, share) in tree[level].iter().zip(shares) {
            let own: Vec<usize> = cluster
                .iter()
                .map(|&member| sizes[level - 1][member as usize])
                .collect();
            for (&member, share) in cluster.iter().zip(even_shares(&own, share)) {
                below[member as usize] = share;
            }
        }
        shares = below;
    }
    let rank = ranks(seed);
    let mut rows = Vec::new();
    for (cluster, share) in tree.first().into_iter().flatten().zip(shares) {
        let mut cluster = cluster.clone();
        cluster.sort_by_cached_key(|&row| rank(row as usize));
        rows.extend(cluster.into_iter().take(share));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::kmeans::naive::assign as naive_assign;
    use super::super::kmeans::tests::{clumps, naive_kmeans, naive_kmeans_of, units};
    use super::*;
    use crate::similarity::cosine::Embeddings;
    use half::f16;

    /// A row, or a cluster of them or of clusters.
    enum Part {
        Row(u32),
        Cluster(Vec<Part>),
    }

    impl Part {
        fn size(&self) -> usize {
            match self {
                Self::Row(_) => 1,
                Self::Cluster(parts) => parts.iter().map(Self::size).sum(),
            }
        }

        /// So many rows: one after the other from the part that has given least, ties to the first.
        fn give(&self, count: usize, seed: u64) -> Vec<u32> {
            let Self::Cluster(parts) = self else {
                unreachable!()
            };
            let mut rows: Vec<u32> = Vec::new();
            for part in parts {
                if let Self::Row(row) = part {
                    rows.push(*row);
                }
            }
            if !rows.is_empty() {
                let rank = ranks(seed);
                rows.sort_by_key(|&row| rank(row as usize));
                rows.truncate(count);
                return rows;
            }
            let mut given = vec![0; parts.len()];
            for _ in 0..count.min(self.size()) {
                let open = (0..parts.len()).filter(|&part| given[part] < parts[part].size());
                let least = open.min_by_key(|&part| given[part]).unwrap();
                given[least] += 1;
            }
            let each = parts.iter().zip(given);
            each.flat_map(|(part, count)| if count > 0 { part.give(count, seed) } else { vec![] })
                .collect()
        }
    }

    /// [`resampled`] word for word.
    fn naive_resampled(vectors: &[Vec<f32>], clusters: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut centroids = naive_kmeans(vectors, clusters, seed);
        for _ in 0..RESAMPLED {
            let assigned = naive_assign(vectors, &centroids);
            let nearest = (vectors.len() / (2 * centroids.len())).clamp(1, 256);
            let mut rows: Vec<u32> = Vec::new();
            for cluster in 0..centroids.len() as u32 {
                let mut own: Vec<usize> = (0..vectors.len())
                    .filter(|&row| assigned[row].0 == cluster)
                    .collect();
                for _ in 0..nearest.min(own.len()) {
                    let closest = own.iter().map(|&row| assigned[row].1).fold(f32::MIN, f32::max);
                    let at = own.iter().position(|&row| assigned[row].1 == closest).unwrap();
                    rows.push(own.remove(at) as u32);
                }
            }
            rows.sort_unstable();
            centroids = naive_kmeans_of(vectors, &rows, clusters, seed);
        }
        centroids
    }

    /// [`balanced`] word for word: the rows that are kept.
    fn naive_balanced(vectors: Vec<Vec<f32>>, clusters: usize, count: usize, seed: u64) -> Vec<u32> {
        let mut parts: Vec<Part> = (0..vectors.len() as u32).map(Part::Row).collect();
        let mut points = vectors;
        for number in levels(clusters) {
            let centroids = naive_resampled(&points, number, seed);
            let mut above: Vec<Vec<Part>> = centroids.iter().map(|_| Vec::new()).collect();
            for (part, (cluster, _)) in parts.into_iter().zip(naive_assign(&points, &centroids)) {
                above[cluster as usize].push(part);
            }
            parts = above.into_iter().map(Part::Cluster).collect();
            points = centroids;
        }
        let mut rows = Part::Cluster(parts).give(count, seed);
        rows.sort_unstable();
        rows
    }

    #[test]
    fn it_equals_the_rule_word_for_word() {
        for (rows, features, clusters) in [(1, 3, 1), (40, 2, 12), (300, 5, 20), (500, 9, 100), (700, 4, 2)] {
            let halves = clumps(rows, features, 3 + rows as u32);
            let embeddings = Embeddings::new(features, &halves).unwrap();
            for count in [1, rows / 7, rows / 2, rows] {
                let found = balanced(embeddings.into(), clusters, count, 5, &Watch::default()).unwrap();
                let kept: Vec<u32> = (0..rows as u32)
                    .filter(|&row| found.exemplar[row as usize] == row)
                    .collect();
                let expected = naive_balanced(units(&embeddings), clusters, count, 5);
                assert_eq!(kept, expected, "{count} of {rows} × {features} in {clusters}");
            }
        }
    }

    #[test]
    fn levels_grow_smaller() {
        assert_eq!(levels(1), [1]);
        assert_eq!(levels(8), [8]);
        assert_eq!(levels(20), [20, 3]);
        assert_eq!(levels(4000), [4000, 500, 63]);
    }

    #[test]
    fn a_number_is_shared_out_from_the_top() {
        // Two clusters above four, of 8, 1, 3 and 3 rows.
        let rows = vec![(0..8).collect(), vec![8], vec![9, 10, 11], vec![12, 13, 14]];
        let tree = vec![rows, vec![vec![0, 1], vec![2, 3]]];
        let counts = |count| {
            let rows = sample(&tree, count, 1);
            let in_cluster =
                |low: u32, high: u32| rows.iter().filter(|&&row| (low..high).contains(&row)).count();
            [
                in_cluster(0, 8),
                in_cluster(8, 9),
                in_cluster(9, 12),
                in_cluster(12, 15),
            ]
        };
        assert_eq!(counts(4), [1, 1, 1, 1]);
        assert_eq!(counts(8), [3, 1, 2, 2]);
        assert_eq!(counts(13), [6, 1, 3, 3]);
        assert_eq!(counts(15), [8, 1, 3, 3]);
        let fewer = sample(&tree, 4, 1);
        assert!(
            fewer.iter().all(|row| sample(&tree, 9, 1).contains(row)),
            "a sample is part of a larger one"
        );
    }

    #[test]
    fn no_rows_are_no_selection() {
        let embeddings = Embeddings::new(2, &[]).unwrap();
        for clusters in [1, 70] {
            let found = balanced(embeddings.into(), clusters, 5, 0, &Watch::default()).unwrap();
            assert_eq!(found.kept(), 0);
        }
    }

    #[test]
    fn a_dense_region_gets_no_more_than_others() {
        // Nine of ten rows lie in one of two directions.
        let mut halves: Vec<f16> = clumps(1000, 2, 3);
        for (row, numbers) in halves.chunks_exact_mut(2).enumerate() {
            let (x, y) = if row % 10 == 0 { (1.0, 20.0) } else { (20.0, 1.0) };
            let jitter = (row * 7 % 13) as f32 / 13.0;
            (numbers[0], numbers[1]) = (f16::from_f32(x + jitter), f16::from_f32(y - jitter));
        }
        let embeddings = Embeddings::new(2, &halves).unwrap();
        let found = balanced(embeddings.into(), 2, 100, 0, &Watch::default()).unwrap();
        let rare = (0..1000).filter(|row| row % 10 == 0 && found.exemplar[*row] == *row as u32);
        assert_eq!((found.kept(), rare.count()), (100, 50));
    }

    #[test]
    fn the_number_of_threads_does_not_matter_and_the_seed_does() {
        let halves = clumps(500, 7, 8);
        let embeddings = Embeddings::new(7, &halves).unwrap();
        let on = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                balanced(embeddings.into(), 70, 60, seed, &Watch::default())
                    .unwrap()
                    .exemplar
            })
        };
        assert_eq!(on(1, 4), on(5, 4));
        assert_ne!(on(1, 4), on(1, 5));
        assert_eq!(
            (0u32..)
                .zip(on(1, 4))
                .filter(|(row, exemplar)| row == exemplar)
                .count(),
            60
        );
    }
}
