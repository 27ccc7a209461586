//! Rounds of k-means that look only at centroids which may have come nearer.
//!
//! For each vector stands how far it is from its own centroid at most, and from the others at least, group by group.
//! When centroids move, these bounds move as far, by the triangle inequality; only groups whose bound no longer says
//! that they are farther are compared again. Ding et al., Yinyang K-Means: A Drop-In Replacement of the Classic
//! K-Means with Consistent Speedup (2015). What the bounds leave open is decided as in [`super::nearest`], so that the
//! rounds are exactly those of the naive way.

use super::bounds::{SCALE, UP, apart, at_least, at_most, is_farther};
use super::device::nearest;
use super::nearest::{Best, Targets};
use super::vectors::{Centroids, Device, Vectors, direction};
use crate::selection::SelectError;
use crate::similarity::cosine::estimate::{Directions, estimates};
use crate::watch::Watch;
use rayon::prelude::*;

/// Vectors that a thread looks at together: many, as only a few of them may be open for a group.
const ROWS: usize = 256;

/// Groups of centroids at most.
const GROUPS: usize = 64;

/// Centroids of a group are a multiple of this.
const GROUP_STEP: usize = 12;

/// Vectors on their way to clusters.
pub(super) struct Lloyd<'a, V> {
    vectors: &'a V,
    rows: &'a [u32],
    /// What assigns them, as long as it can. The bounds stay 0 meanwhile, which rules nothing out.
    device: Option<&'a dyn Device>,
    scales: Vec<f64>,
    centroids: Centroids,
    targets: Targets,
    groups: Vec<Vec<u32>>,
    /// How far each centroid and the centroids of each group moved at most; `None` before the first round.
    moved: Option<(Vec<f32>, Vec<u16>)>,
    cluster: Vec<u32>,
    /// How far each vector is from its centroid at most.
    own: Vec<f32>,
    /// How far it is from all other centroids of each group at least, in parts of [`SCALE`].
    others: Vec<u16>,
    /// Clusters whose vectors are not those of the round before, or that have none.
    stale: Vec<bool>,
}

/// The state of some vectors.
struct Part<'a> {
    rows: &'a [u32],
    scales: &'a [f64],
    cluster: &'a mut [u32],
    own: &'a mut [f32],
    others: &'a mut [u16],
}

impl<'a, V: Vectors> Lloyd<'a, V> {
    pub fn new(vectors: &'a V, rows: &'a [u32], centroids: Centroids) -> Self {
        let count = centroids.len();
        let size = count.div_ceil(GROUPS).next_multiple_of(GROUP_STEP);
        let numbers: Vec<u32> = (0..count as u32).collect();
        let groups: Vec<Vec<u32>> = numbers.chunks(size).map(<[u32]>::to_vec).collect();
        Self {
            vectors,
            rows,
            device: vectors.device(),
            scales: rows.par_iter().map(|&row| vectors.scale(row as usize)).collect(),
            targets: Targets::new(&centroids),
            moved: None,
            cluster: vec![u32::MAX; rows.len()],
            own: vec![0.0; rows.len()],
            others: vec![0; rows.len() * groups.len()],
            stale: vec![true; count],
            centroids,
            groups,
        }
    }

    pub fn into_centroids(self) -> Centroids {
        self.centroids
    }

    /// Gives each vector to its nearest centroid; says whether one has another than before.
    pub fn assign(&mut self, watch: &Watch) -> Result<bool, SelectError> {
        let (centroids, targets) = (&self.centroids, &self.targets);
        let found = nearest(self.device, self.vectors, self.rows, centroids, targets, watch)?;
        let Some(found) = found else {
            self.device = None;
            return Ok(self.assign_here());
        };
        let before = std::mem::replace(&mut self.cluster, found);
        let now = self.cluster.clone();
        Ok(self.note(before.into_iter().zip(now)))
    }

    fn assign_here(&mut self) -> bool {
        let groups = self.groups.len();
        let parts = self.rows.par_chunks(ROWS).zip(self.scales.par_chunks(ROWS));
        let parts = parts.zip(self.cluster.par_chunks_mut(ROWS));
        let parts = parts.zip(self.own.par_chunks_mut(ROWS));
        let parts = parts.zip(self.others.par_chunks_mut(ROWS * groups));
        let (vectors, targets, numbers) = (self.vectors, &self.targets, &self.groups);
        let moved = self.moved.as_ref();
        let changes = parts.map(|((((rows, scales), cluster), own), others)| {
            let part = Part {
                rows,
                scales,
                cluster,
                own,
                others,
            };
            part.assign(vectors, targets, numbers, moved)
        });
        let changes: Vec<Vec<(u32, u32)>> = changes.collect();
        self.note(changes.into_iter().flatten())
    }

    /// Notes which vectors went from one cluster to another; says whether one did.
    fn note(&mut self, changes: impl Iterator<Item = (u32, u32)>) -> bool {
        let mut changed = false;
        for (from, to) in changes.filter(|(from, to)| from != to) {
            changed = true;
            for cluster in [from, to] {
                if let Some(stale) = self.stale.get_mut(cluster as usize) {
                    *stale = true;
                }
            }
        }
        changed
    }

    /// Moves each centroid to the mean direction of its vectors. One without vectors, or whose vectors cancel out, starts
    /// again from the vector that fits worst where it is.
    pub fn update(&mut self) {
        let (vectors, rows, scales) = (self.vectors, self.rows, &self.scales);
        let members = super::members(&self.cluster, self.centroids.len());
        let unit = |at: usize, out: &mut [f32]| vectors.scaled(rows[at] as usize, scales[at], out);
        let mean = |members: &Vec<u32>| {
            let mut sums = vec![0.0f64; vectors.features()];
            let mut numbers = vec![0.0f32; vectors.features()];
            for &at in members {
                unit(at as usize, &mut numbers);
                for (sum, &number) in sums.iter_mut().zip(&numbers) {
                    *sum += f64::from(number);
                }
            }
            direction(&sums)
        };
        let found = members
            .par_iter()
            .zip(&self.stale)
            .enumerate()
            .map(|(number, (members, stale))| {
                if *stale {
                    mean(members)
                } else {
                    Some(self.centroids.row(number).to_vec())
                }
            });
        let found: Vec<Option<Vec<f32>>> = found.collect();
        let mut worst: Vec<usize> = Vec::new();
        if found.iter().any(Option::is_none) {
            let similarity = self.similarities();
            worst.extend(0..rows.len());
            worst.sort_by(|&a, &b| similarity[a].total_cmp(&similarity[b]));
        }
        let mut spare = worst.into_iter();
        let mut centroids = Centroids::empty(vectors.features());
        for (mean, stale) in found.into_iter().zip(&mut self.stale) {
            *stale = mean.is_none();
            match mean {
                Some(mean) => centroids.push(&mean),
                None => {
                    let mut numbers = vec![0.0f32; vectors.features()];
                    unit(spare.next().unwrap_or(0), &mut numbers);
                    centroids.push(&numbers);
                }
            }
        }
        let moved: Vec<f32> = (0..centroids.len())
            .map(|number| apart(self.centroids.row(number), centroids.row(number)))
            .collect();
        let farthest = self.groups.iter().map(|numbers| {
            let moved = numbers.iter().map(|&number| moved[number as usize]);
            (moved.fold(0.0, f32::max) * SCALE * UP).ceil() as u16
        });
        let farthest = farthest.collect();
        self.moved = Some((moved, farthest));
        self.targets = Targets::new(&centroids);
        self.centroids = centroids;
    }

    /// The similarity of each vector to its centroid.
    fn similarities(&self) -> Vec<f32> {
        let similarity = |(at, &row): (usize, &u32)| {
            let mut unit = vec![0.0; self.vectors.features()];
            self.vectors.scaled(row as usize, self.scales[at], &mut unit);
            self.targets.similarity(&unit, self.cluster[at])
        };
        self.rows.par_iter().enumerate().map(similarity).collect()
    }
}

impl Part<'_> {
    /// Returns the clusters before and now of those that changed.
    fn assign<V: Vectors>(
        mut self,
        vectors: &V,
        targets: &Targets,
        groups: &[Vec<u32>],
        moved: Option<&(Vec<f32>, Vec<u16>)>,
    ) -> Vec<(u32, u32)> {
        let open = self.open(groups.len(), moved);
        let mut units = Directions::new(vectors.features());
        let mut near = Vec::new();
        // Of each open vector the estimate of its own centroid, and the groups that may be nearer.
        let mut looked: Vec<Looked> = Vec::with_capacity(open.len());
        for at in open {
            let line = units.len() as u32;
            units.push(|numbers| vectors.scaled(self.rows[at] as usize, self.scales[at], numbers));
            let own = self.cluster[at];
            let mut estimate = f32::NEG_INFINITY;
            if own != u32::MAX {
                estimates(&units, &[line], &targets.directions, &[own], &mut near);
                estimate = near[0];
                self.own[at] = at_most(estimate, targets.error);
            }
            looked.push(Looked {
                at,
                own,
                estimate,
                best: vec![None; groups.len()],
            });
        }
        for (group, numbers) in groups.iter().enumerate() {
            let which = looked.iter().enumerate().filter(|(_, looked)| {
                looked.own == u32::MAX
                    || !is_farther(self.others[looked.at * groups.len() + group], self.own[looked.at])
            });
            let which: Vec<u32> = which.map(|(line, _)| line as u32).collect();
            if which.is_empty() {
                continue;
            }
            estimates(&units, &which, &targets.directions, numbers, &mut near);
            for (&line, near) in which.iter().zip(near.chunks_exact(numbers.len())) {
                let looked = &mut looked[line as usize];
                let mut best = Best::NONE;
                for (&number, &estimate) in numbers.iter().zip(near) {
                    if number != looked.own {
                        best.offer(number, estimate);
                    }
                }
                looked.best[group] = Some(best);
            }
        }
        let mut changes = Vec::new();
        for (line, looked) in looked.into_iter().enumerate() {
            let before = looked.own;
            let now = self.settle(line as u32, looked, &units, targets, groups);
            if now != before {
                changes.push((before, now));
            }
        }
        changes
    }

    /// The vectors whose bounds, moved on, leave their cluster open.
    fn open(&mut self, groups: usize, moved: Option<&(Vec<f32>, Vec<u16>)>) -> Vec<usize> {
        let Some((centroids, farthest)) = moved else {
            return (0..self.rows.len()).collect();
        };
        let mut open = Vec::new();
        for (at, others) in self.others.chunks_exact_mut(groups).enumerate() {
            self.own[at] = (self.own[at] + centroids[self.cluster[at] as usize]) * UP;
            let mut least = u16::MAX;
            for (other, &moved) in others.iter_mut().zip(farthest) {
                *other = other.saturating_sub(moved);
                least = least.min(*other);
            }
            if !is_farther(least, self.own[at]) {
                open.push(at);
            }
        }
        open
    }

    /// Decides on the cluster of a vector and renews its bounds.
    fn settle(
        &mut self,
        line: u32,
        looked: Looked,
        units: &Directions,
        targets: &Targets,
        groups: &[Vec<u32>],
    ) -> u32 {
        let (at, error) = (looked.at, targets.error);
        let mut best = Best::NONE;
        best.offer(looked.own, looked.estimate);
        for group in looked.best.iter().flatten() {
            best.offer(group.number, group.first);
            best.second = best.second.max(group.second);
        }
        let others = &mut self.others[at * groups.len()..][..groups.len()];
        if best.second < best.first - 2.0 * error {
            let now = best.number;
            for ((other, group), numbers) in others.iter_mut().zip(&looked.best).zip(groups) {
                let holds = |number: u32| numbers.first() <= Some(&number) && Some(&number) <= numbers.last();
                if let Some(group) = group {
                    let most = if group.number == now {
                        group.second
                    } else {
                        group.first
                    };
                    *other = at_least(most, error);
                }
                if now != looked.own && holds(looked.own) {
                    *other = (*other).min(at_least(looked.estimate, error));
                }
            }
            (self.cluster[at], self.own[at]) = (now, at_most(best.first, error));
            return now;
        }
        // Too close: the exact similarity decides, among all that were not ruled out.
        let looked_at = groups.iter().zip(&looked.best).filter(|(_, best)| best.is_some());
        let mut numbers: Vec<u32> = looked_at.flat_map(|(numbers, _)| numbers).copied().collect();
        if looked.own != u32::MAX && !numbers.contains(&looked.own) {
            numbers.push(looked.own);
        }
        let mut near = Vec::new();
        estimates(units, &[line], &targets.directions, &numbers, &mut near);
        let (now, _) = targets.exactly_nearest(units.row(line as usize), &numbers, &near);
        for ((other, group), own) in others.iter_mut().zip(groups).zip(&looked.best) {
            if own.is_some() {
                *other = u16::MAX;
            }
            for (number, &estimate) in numbers.iter().zip(&near) {
                if *number != now && group.contains(number) {
                    *other = (*other).min(at_least(estimate, error));
                }
            }
        }
        let own = numbers
            .iter()
            .position(|&number| number == now)
            .map_or(-1.0, |index| near[index]);
        (self.cluster[at], self.own[at]) = (now, at_most(own, error));
        now
    }
}

/// A vector that is compared anew.
struct Looked {
    at: usize,
    /// Its cluster, and the estimate of the similarity to that.
    own: u32,
    estimate: f32,
    /// Of each group that is compared, the nearest centroids beside that.
    best: Vec<Option<Best>>,
}
