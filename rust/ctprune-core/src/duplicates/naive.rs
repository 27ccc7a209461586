//! Every volume on every other at every shift: slow, obvious, and what the fast way is measured against.

use super::align::{Line, fit, has_positions};
use super::pairs::{pair, scales};
use super::{FEWEST_SLICES, Fit, Pair, Rule, Volumes, check};
use crate::selection::SelectError;

/// [`super::find_pairs`], which looks up no probes: it tries each shift that lays some slice of one volume upon some slice of
/// the other.
pub fn find_pairs(volumes: &Volumes<'_>, rule: &Rule) -> Result<Vec<Pair>, SelectError> {
    check(volumes, rule)?;
    let count = volumes.starts.len() - 1;
    let rows = |volume: usize| volumes.starts[volume]..volumes.starts[volume + 1];
    let mut pairs = Vec::new();
    for a in 0..count {
        for b in a + 1..count {
            let is_apart = rule.between.is_none_or(|first| (a < first) != (b < first));
            if !is_apart || rows(a).len() < FEWEST_SLICES || rows(b).len() < FEWEST_SLICES {
                continue;
            }
            let is_in_mm = has_positions(volumes, rows(a)) && has_positions(volumes, rows(b));
            let (own, theirs) = (
                Line::new(volumes, rows(a), is_in_mm),
                Line::new(volumes, rows(b), is_in_mm),
            );
            let mut best: Option<Pair> = None;
            for &turn in &rule.turns {
                let own = own.turned(turn, rule.hash_size);
                let Some(fit) = best_of_all(&own, &theirs, is_in_mm, rule) else {
                    continue;
                };
                if best.as_ref().is_none_or(|best| fit.beats(&best.fit)) {
                    best = Some(pair(a, b, turn, fit));
                }
            }
            pairs.extend(best);
        }
    }
    Ok(pairs)
}

fn best_of_all(own: &Line, theirs: &Line, is_in_mm: bool, rule: &Rule) -> Option<Fit> {
    let mut best: Option<Fit> = None;
    for scale in scales(own, theirs, is_in_mm) {
        for at in 0..own.len() {
            for other in 0..theirs.len() {
                let shift = theirs.position(other) - scale * own.position(at);
                let found = fit(own, theirs, scale, shift, is_in_mm, rule);
                let Some(found) = found.filter(|fit| fit.median <= f64::from(rule.threshold)) else {
                    continue;
                };
                if best.as_ref().is_none_or(|best| found.beats(best)) {
                    best = Some(found);
                }
            }
        }
    }
    best
}
