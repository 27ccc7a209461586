//! The walk from farthest point to farthest point in one group.
//!
//! Points are held by the center they are nearest to. A new center takes points from another one only where these are
//! more than half as far from it as the two centers are from each other: by the triangle inequality the rest need not be
//! looked at. So the work grows with the points that are still far from all centers, not with points times centers.

use crate::selection::SelectError;
use crate::selection::points::Metric;
use crate::watch::Watch;
use rayon::prelude::*;
use std::ops::Range;

/// Centers that a thread looks at before another may take over.
const CENTERS: usize = 512;

/// Points of a center that a thread compares before another may take over.
const POINTS: usize = 1024;

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
    clusters: Vec<Cluster>,
}

impl Traversal {
    /// How far each center was from those before it, in the order in which they were taken.
    pub fn inserted(&self) -> impl Iterator<Item = f32> {
        self.clusters.iter().map(|cluster| cluster.inserted)
    }

    /// Every point that is no center, its center, and how far apart they are.
    pub fn covered(&self) -> impl Iterator<Item = (u32, u32, f32)> {
        let of = |cluster: &Cluster| {
            let center = cluster.center;
            let points = cluster.points.clone().into_iter();
            points.map(move |point| (point.row, center, point.apart))
        };
        self.clusters.iter().flat_map(of)
    }
}

/// A point and how far it is from its center.
#[derive(Clone, Copy, Debug)]
struct Point {
    row: u32,
    apart: f32,
}

impl Point {
    /// The one that is farther, ties to the first in order.
    fn farther(self, other: Self) -> Self {
        match self.apart.total_cmp(&other.apart).then(other.row.cmp(&self.row)) {
            std::cmp::Ordering::Less => other,
            _ => self,
        }
    }
}

/// A center and the points that are nearest to it.
#[derive(Debug)]
struct Cluster {
    center: u32,
    inserted: f32,
    points: Vec<Point>,
    farthest: Option<Point>,
}

impl Cluster {
    fn new(center: u32, inserted: f32, points: Vec<Point>) -> Self {
        Self {
            center,
            inserted,
            farthest: points.iter().copied().reduce(Point::farther),
            points,
        }
    }

    /// Gives up the points that are closer to a new center, and that one itself.
    fn give<M: Metric>(&mut self, metric: &M, center: u32, query: &M::Query) -> Vec<Point> {
        let Some(farthest) = self.farthest else {
            return Vec::new();
        };
        let half = metric.half(metric.apart(query, self.center as usize));
        if f64::from(farthest.apart) <= half && farthest.row != center {
            return Vec::new();
        }
        let apart = |point: &Point| {
            if f64::from(point.apart) <= half {
                point.apart
            } else {
                metric.apart(query, point.row as usize)
            }
        };
        let found: Vec<f32> = self.points.par_iter().with_min_len(POINTS).map(apart).collect();
        let mut given = Vec::new();
        let mut kept = Vec::with_capacity(self.points.len());
        for (&point, apart) in self.points.iter().zip(found) {
            if point.row == center {
                continue;
            }
            if apart < point.apart {
                given.push(Point { apart, ..point });
            } else {
                kept.push(point);
            }
        }
        *self = Self::new(self.center, self.inserted, kept);
        given
    }
}

/// Walks through the points of a group, which is not empty; it begins at the first.
pub(super) fn traverse<M: Metric>(
    metric: &M,
    rows: Range<usize>,
    until: Until,
    watch: &Watch,
) -> Result<Traversal, SelectError> {
    let first = rows.start;
    let query = metric.query(first);
    let others = (first + 1..rows.end).into_par_iter().with_min_len(POINTS);
    let points = others.map(|row| Point {
        row: row as u32,
        apart: metric.apart(&query, row),
    });
    let mut clusters = vec![Cluster::new(first as u32, f32::INFINITY, points.collect())];
    while clusters.len() < until.count {
        let farthest = clusters.iter().filter_map(|cluster| cluster.farthest);
        let Some(next) = farthest.reduce(Point::farther) else {
            break;
        };
        if f64::from(next.apart) <= until.apart {
            break;
        }
        if watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        let query = metric.query(next.row as usize);
        let given = clusters.par_chunks_mut(CENTERS).map(|clusters| {
            let given = clusters.iter_mut();
            given
                .flat_map(|cluster| cluster.give(metric, next.row, &query))
                .collect::<Vec<_>>()
        });
        let given: Vec<Vec<Point>> = given.collect();
        clusters.push(Cluster::new(next.row, next.apart, given.concat()));
    }
    Ok(Traversal { clusters })
}
