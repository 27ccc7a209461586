//! Laying two volumes upon each other along the body.

use super::lookup::is_empty;
use super::{FEWEST_SLICES, Fit, Rule, Volumes};
use crate::similarity::hamming::distance;
use std::ops::Range;

/// The slices of a volume in ascending order of position, with the fingerprints to compare.
pub(super) struct Line {
    words: usize,
    fingerprints: Vec<u64>,
    /// Whether a slice of one value has nothing to compare.
    empty: Vec<bool>,
    positions: Vec<f64>,
    /// Rows of all volumes' slices.
    pub rows: Vec<u32>,
    /// Usual distance of neighbors.
    pub spacing: f64,
}

impl Line {
    /// By positions, or by the numbers of the slices.
    pub fn new(volumes: &Volumes<'_>, rows: Range<usize>, by_position: bool) -> Self {
        let first = rows.start;
        let position = |row: usize| {
            if by_position {
                volumes.position_mm[row]
            } else {
                (row - first) as f64
            }
        };
        let mut order: Vec<usize> = rows.collect();
        order.sort_by(|&a, &b| position(a).total_cmp(&position(b)).then(a.cmp(&b)));
        let positions: Vec<f64> = order.iter().map(|&row| position(row)).collect();
        let fingerprints = |row: &usize| volumes.fingerprints.row(*row);
        Self {
            words: volumes.fingerprints.words(),
            fingerprints: order.iter().flat_map(fingerprints).copied().collect(),
            empty: order.iter().map(|row| is_empty(fingerprints(row))).collect(),
            rows: order.iter().map(|&row| row as u32).collect(),
            spacing: spacing(&positions),
            positions,
        }
    }

    /// The same slices with turned fingerprints.
    pub fn turned(&self, turn: super::Turn, hash_size: usize) -> Self {
        let mut fingerprints = vec![0; self.fingerprints.len()];
        let pairs = self
            .fingerprints
            .chunks(self.words)
            .zip(fingerprints.chunks_mut(self.words));
        pairs.for_each(|(from, to)| turn.of(from, hash_size, to));
        Self {
            words: self.words,
            fingerprints,
            empty: self.empty.clone(),
            positions: self.positions.clone(),
            rows: self.rows.clone(),
            spacing: self.spacing,
        }
    }

    pub fn len(&self) -> usize {
        self.positions.len()
    }

    pub fn position(&self, at: usize) -> f64 {
        self.positions[at]
    }

    pub fn fingerprint(&self, at: usize) -> &[u64] {
        &self.fingerprints[at * self.words..][..self.words]
    }

    pub fn is_empty_at(&self, at: usize) -> bool {
        self.empty[at]
    }

    /// Where it begins and ends: half a spacing beyond the middles of the outer slices.
    fn extent(&self) -> (f64, f64) {
        let half = self.spacing / 2.0;
        (self.positions[0] - half, self.positions[self.len() - 1] + half)
    }
}

/// Median distance of neighbors that are not at one position; 1 where there are none.
fn spacing(positions: &[f64]) -> f64 {
    let steps = positions.windows(2).map(|pair| pair[1] - pair[0]);
    let mut steps: Vec<f64> = steps.filter(|step| *step > 1e-3).collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len() / 2).copied().unwrap_or(1.0)
}

/// Whether all slices have positions, at more than one place.
pub(super) fn has_positions(volumes: &Volumes<'_>, rows: Range<usize>) -> bool {
    let positions = &volumes.position_mm[rows];
    positions.iter().all(|position| position.is_finite())
        && positions
            .iter()
            .any(|position| (position - positions[0]).abs() > 1e-3)
}

/// How two volumes fit at `scale` and `shift`; `None` where too little of them overlaps.
///
/// The slices of the coarser volume in the common part are compared, each with the other's nearest one, if that is not
/// farther than half of its spacing.
pub(super) fn fit(a: &Line, b: &Line, scale: f64, shift: f64, is_in_mm: bool, rule: &Rule) -> Option<Fit> {
    let ((a_low, a_high), (b_low, b_high)) = (a.extent(), b.extent());
    let (from, to) = (scale * a_low + shift, scale * a_high + shift);
    let (low, high) = (b_low.max(from.min(to)), b_high.min(from.max(to)));
    let (a_length, b_length) = ((to - from).abs(), b_high - b_low);
    let overlap = high - low;
    if overlap < rule.min_overlap * a_length.min(b_length) {
        return None;
    }
    let mut distances: Vec<u32> = Vec::new();
    if b.spacing >= a.spacing * scale.abs() {
        compare(b, a, 1.0 / scale, -shift / scale, &mut distances);
    } else {
        compare(a, b, scale, shift, &mut distances);
    }
    if distances.len() < FEWEST_SLICES {
        return None;
    }
    let sum: u32 = distances.iter().sum();
    let compared = distances.len();
    distances.sort_unstable();
    let median = f64::from(distances[(compared - 1) / 2] + distances[compared / 2]) / 2.0;
    Some(Fit {
        scale,
        shift,
        is_in_mm,
        overlap,
        of_a: (overlap / a_length).min(1.0),
        of_b: (overlap / b_length).min(1.0),
        compared: compared as u32,
        median,
        mean: f64::from(sum) / compared as f64,
    })
}

/// Distances of the coarse volume's slices to those of the fine one at the same position.
fn compare(coarse: &Line, fine: &Line, scale: f64, shift: f64, distances: &mut Vec<u32>) {
    // A thousandth, as positions are off by less than that.
    let reach = fine.spacing / 2.0 + 1e-3;
    let mut nearest = 0;
    let count = coarse.len();
    for step in 0..count {
        // Ascending in the fine volume.
        let at = if scale < 0.0 { count - 1 - step } else { step };
        let position = scale * coarse.positions[at] + shift;
        while nearest + 1 < fine.len()
            && (fine.positions[nearest + 1] - position).abs() <= (fine.positions[nearest] - position).abs()
        {
            nearest += 1;
        }
        let is_there = (fine.positions[nearest] - position).abs() <= reach;
        if is_there && !coarse.empty[at] && !fine.empty[nearest] {
            distances.push(distance(coarse.fingerprint(at), fine.fingerprint(nearest)));
        }
    }
}
