//! The walk from farthest point to farthest point in one group.
//!
//! Points are held in leaves by the center they are nearest to, the far ones apart from the near ones. A new center can
//! take points from a leaf only where these are more than half as far from their center as the two centers are from each
//! other, by the triangle inequality: the center waits at such a leaf. A leaf is compared with what waits there only once
//! its farthest point might be the farthest of all: until then how far its points are is an upper bound. So most
//! comparisons are of many points with many centers at a time, and many are never made.

use crate::selection::SelectError;
use crate::selection::points::Metric;
use crate::watch::Watch;
use rayon::prelude::*;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Points of a leaf at most.
const LEAF: usize = 256;

/// Centers that wait at a leaf at most.
const WAITING: usize = 192;

/// Leaves that are compared at a time at most: more of them might be compared in vain.
const AT_ONCE: usize = 256;

/// When a walk ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    /// So many centers.
    pub count: usize,
    /// No point is farther from its center.
    pub apart: f64,
}

impl Until {
    /// So many centers, however close the points are.
    pub fn count(count: usize) -> Self {
        Self {
            count,
            apart: f64::NEG_INFINITY,
        }
    }
}

/// A walk that has ended.
#[derive(Debug)]
pub(super) struct Traversal {
    centers: Vec<Point>,
    leaves: Vec<Leaf>,
}

impl Traversal {
    /// How far each center was from those before it, in the order in which they were taken.
    pub fn inserted(&self) -> impl Iterator<Item = f32> {
        self.centers.iter().map(|center| center.apart)
    }

    /// Every point that is no center, its center, and how far apart they are.
    pub fn covered(&self) -> impl Iterator<Item = (u32, u32, f32)> {
        let of = |leaf: &Leaf| {
            let center = self.centers[leaf.center as usize].row;
            let points = leaf.points.clone().into_iter();
            points.map(move |point| (point.row, center, point.apart))
        };
        self.leaves.iter().flat_map(of)
    }
}

/// A point and how far it is from its center.
#[derive(Clone, Copy, Debug)]
struct Point {
    row: u32,
    apart: f32,
}

impl Point {
    /// Larger for a point that is farther, ties to the first in order.
    fn key(self) -> u64 {
        let bits = self.apart.to_bits();
        let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        u64::from(ordered) << 32 | u64::from(!self.row)
    }
}

/// Some of the points that are nearest to a center.
#[derive(Debug, Default)]
struct Leaf {
    center: u32,
    points: Vec<Point>,
    /// The largest key of a point; 0 where there is none.
    key: u64,
    /// How far the farthest point is.
    apart: f32,
    /// Centers with which no point was compared yet, ascending.
    waiting: Vec<u32>,
    /// Points that are at most so far are not closer to any of these.
    half: f32,
}

impl Leaf {
    fn new(center: u32, points: Vec<Point>) -> Self {
        let mut leaf = Self {
            center,
            points,
            half: f32::INFINITY,
            ..Self::default()
        };
        leaf.renew();
        leaf
    }

    fn renew(&mut self) {
        (self.key, self.apart) = (0, f32::NEG_INFINITY);
        for &point in &self.points {
            self.key = self.key.max(point.key());
            self.apart = self.apart.max(point.apart);
        }
    }

    fn add(&mut self, point: Point) {
        self.points.push(point);
        self.key = self.key.max(point.key());
        self.apart = self.apart.max(point.apart);
    }

    /// Compares its points with the centers that wait; gives up those that are closer to one of them.
    fn settle<M: Metric>(&mut self, metric: &M, centers: &M::Centers) -> Vec<(u32, Point)> {
        let waiting = std::mem::take(&mut self.waiting);
        let half = std::mem::replace(&mut self.half, f32::INFINITY);
        let far: Vec<(u32, f32)> = self
            .points
            .iter()
            .filter(|point| point.apart > half)
            .map(|point| (point.row, point.apart))
            .collect();
        let mut closer = metric.closer(centers, &far, &waiting).into_iter();
        let mut given = Vec::new();
        self.points.retain(|&Point { row, apart }| {
            let found = if apart > half {
                closer.next().flatten()
            } else {
                None
            };
            given.extend(found.map(|(center, apart)| (center, Point { row, apart })));
            found.is_none()
        });
        self.renew();
        given
    }
}

struct Walk<'a, M: Metric> {
    metric: &'a M,
    centers: M::Centers,
    taken: Vec<Point>,
    leaves: Vec<Leaf>,
    /// Of each center the leaf that takes further points.
    open: Vec<u32>,
    /// Keys of leaves; one that is not the leaf's any more does not count.
    heap: BinaryHeap<(u64, u32)>,
}

impl<M: Metric> Walk<'_, M> {
    /// Keeps a point, which waits at all leaves from which it may take points.
    fn keep(&mut self, point: Point) {
        let center = self.taken.len() as u32;
        self.taken.push(point);
        self.metric.add(&mut self.centers, point.row as usize);
        let halves = self.metric.halves(&self.centers);
        let mut full = Vec::new();
        for (number, leaf) in self.leaves.iter_mut().enumerate() {
            let half = halves[leaf.center as usize];
            if leaf.apart > half {
                leaf.waiting.push(center);
                leaf.half = leaf.half.min(half);
                if leaf.waiting.len() == WAITING {
                    full.push(number as u32);
                }
            }
        }
        self.open_leaf(center, Vec::new());
        self.settle(&full);
    }

    fn open_leaf(&mut self, center: u32, points: Vec<Point>) {
        let number = self.leaves.len() as u32;
        let leaf = Leaf::new(center, points);
        self.push(leaf.key, number);
        self.leaves.push(leaf);
        match self.open.get_mut(center as usize) {
            Some(open) => *open = number,
            None => self.open.push(number),
        }
    }

    fn push(&mut self, key: u64, leaf: u32) {
        if key > 0 {
            self.heap.push((key, leaf));
        }
    }

    /// Compares these leaves with the centers that wait there.
    fn settle(&mut self, numbers: &[u32]) {
        let mut leaves: Vec<Leaf> = numbers
            .iter()
            .map(|&number| std::mem::take(&mut self.leaves[number as usize]))
            .collect();
        let (metric, centers) = (self.metric, &self.centers);
        let given: Vec<Vec<(u32, Point)>> = leaves
            .par_iter_mut()
            .map(|leaf| leaf.settle(metric, centers))
            .collect();
        for (&number, leaf) in numbers.iter().zip(leaves) {
            self.push(leaf.key, number);
            self.leaves[number as usize] = leaf;
        }
        for (center, point) in given.into_iter().flatten() {
            let number = self.open[center as usize];
            let leaf = &mut self.leaves[number as usize];
            if leaf.points.len() >= LEAF {
                self.open_leaf(center, vec![point]);
                continue;
            }
            let before = leaf.key;
            leaf.add(point);
            let key = leaf.key;
            if key != before {
                self.push(key, number);
            }
        }
    }

    /// The farthest point of all, taken from its leaf.
    fn farthest(&mut self, until: f64) -> Option<Point> {
        let mut at_once = rayon::current_num_threads();
        loop {
            let mut stale: Vec<u32> = Vec::new();
            while let Some(&(key, number)) = self.heap.peek() {
                let leaf = &mut self.leaves[number as usize];
                if leaf.key != key || stale.last() == Some(&number) {
                    self.heap.pop();
                    continue;
                }
                if leaf.waiting.is_empty() {
                    if !stale.is_empty() {
                        break;
                    }
                    let at = leaf.points.iter().position(|point| point.key() == key)?;
                    if f64::from(leaf.points[at].apart) <= until {
                        return None;
                    }
                    let point = leaf.points.remove(at);
                    leaf.renew();
                    let key = leaf.key;
                    self.heap.pop();
                    self.push(key, number);
                    return Some(point);
                }
                if stale.len() == at_once {
                    break;
                }
                self.heap.pop();
                stale.push(number);
            }
            if stale.is_empty() {
                return None;
            }
            self.settle(&stale);
            at_once = AT_ONCE.min(2 * at_once);
        }
    }
}

/// Walks through the points of a group, which is not empty; it begins at the first.
pub(super) fn traverse<M: Metric>(
    metric: &M,
    rows: Range<usize>,
    until: Until,
    watch: &Watch,
) -> Result<Traversal, SelectError> {
    let mut walk = Walk {
        metric,
        centers: metric.no_centers(),
        taken: Vec::new(),
        leaves: Vec::new(),
        open: Vec::new(),
        heap: BinaryHeap::new(),
    };
    walk.keep(Point {
        row: rows.start as u32,
        apart: f32::INFINITY,
    });
    let others: Vec<u32> = (rows.start as u32 + 1..rows.end as u32).collect();
    let centers = &walk.centers;
    let compare = |rows: &[u32]| {
        let far: Vec<(u32, f32)> = rows.iter().map(|&row| (row, f32::INFINITY)).collect();
        let found = metric.closer(centers, &far, &[0]).into_iter().zip(far);
        let point = |(found, (row, apart)): (Option<(u32, f32)>, (u32, f32))| Point {
            row,
            apart: found.map_or(apart, |(_, apart)| apart),
        };
        found.map(point).collect::<Vec<_>>()
    };
    let mut points: Vec<Point> = others.par_chunks(LEAF).flat_map_iter(compare).collect();
    points.par_sort_unstable_by_key(|point| std::cmp::Reverse(point.key()));
    for points in points.chunks(LEAF) {
        walk.open_leaf(0, points.to_vec());
    }
    while walk.taken.len() < until.count {
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        let Some(next) = walk.farthest(until.apart) else {
            break;
        };
        walk.keep(next);
    }
    let waited: Vec<u32> = (0..walk.leaves.len() as u32)
        .filter(|&number| !walk.leaves[number as usize].waiting.is_empty())
        .collect();
    walk.settle(&waited);
    Ok(Traversal {
        centers: walk.taken,
        leaves: walk.leaves,
    })
}
