//! The greedy exemplar rule on one volume, at many thresholds in one pass.
//!
//! Whether an earlier slice covers a later one depends on what was kept before, at each threshold for itself. But a pair
//! is compared only once: against the lowest threshold at which the earlier one is kept and the later one still open. If
//! it is similar there, the similarity itself says at which others it is too.
//!
//! Slices are decided in blocks: first each against all that came before the block, side by side; then one after the
//! other, what is kept against the rest of the block. Each slice meets the earlier ones in order whatever the threads do.

use super::cover::PixelCover;
use super::thresholds::ThresholdSet;
use crate::selection::{Reach, SelectError, check_count};
use crate::similarity::{Measure, Picture, PictureError, Verdict, rounded};
use crate::watch::Watch;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Least number of slices in a block.
const BLOCK: usize = 16;

/// A slice to decide on: its pixels, or none where it could not be read; such a slice is kept and covers none.
pub type Candidate<'a> = Option<Picture<'a>>;

/// What a pass found.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelSelection {
    /// For each slice what covers it, at ascending thresholds.
    pub covers: Vec<Vec<PixelCover>>,
    /// Which slices cannot be compared, and why.
    pub refused: Vec<(usize, PictureError)>,
    /// Pairs that the rule asked for.
    pub pairs: usize,
    /// Pairs among them whose similarity was not computed, since a bound was enough.
    pub bounded_pairs: usize,
}

/// Applies the rule to the slices of one volume at ascending thresholds. A slice is similar to another of the same size
/// when the similarity, rounded to `f32`, is at least the threshold and `reach` allows it; `own` is the similarity of a
/// slice with itself.
///
/// `watch` counts the slices decided on; once it is stopped, the result is [`SelectError::Stopped`].
pub fn exemplars<M: Measure>(
    measure: &M,
    slices: &[Candidate<'_>],
    thresholds: &[f64],
    own: f32,
    reach: Reach<'_>,
    watch: &Watch,
) -> Result<PixelSelection, SelectError> {
    check_count(slices.len())?;
    reach.check(slices.len())?;
    let pass = Pass {
        measure,
        thresholds,
        reach,
        watch,
        pairs: AtomicUsize::new(0),
        bounded_pairs: AtomicUsize::new(0),
    };
    let mut refused = Vec::new();
    let mut earlier: Vec<Member<M::Prepared<'_>>> = Vec::new();
    let mut spares: Vec<Option<M::Prepared<'_>>> = Vec::new();
    let mut covers = Vec::with_capacity(slices.len());
    let size = BLOCK.max(4 * rayon::current_num_threads());
    for (block, slices) in slices.chunks(size).enumerate() {
        let first = block * size;
        spares.resize_with(slices.len(), || None);
        let prepared: Vec<_> = slices
            .par_iter()
            .zip(spares.par_drain(..))
            .enumerate()
            .map(|(at, (slice, spare))| Member::new(measure, first + at, *slice, spare, thresholds))
            .collect();
        let mut members = Vec::with_capacity(prepared.len());
        for (member, refusal) in prepared {
            refused.extend(refusal.map(|reason| (member.number, reason)));
            members.push(member);
        }
        members
            .par_iter_mut()
            .try_for_each(|member| earlier.iter().try_for_each(|other| pass.meet(member, other)))?;
        for at in 0..members.len() {
            let (done, open) = members.split_at_mut(at + 1);
            let member = &done[at];
            open.par_iter_mut()
                .try_for_each(|later| pass.meet(later, member))?;
            watch.advance(1);
        }
        for member in &members {
            covers.push(member.covers(thresholds.len(), own));
        }
        // A slice that is kept nowhere is never looked at again, and its maps are large.
        let (kept, dropped): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.open.any());
        earlier.extend(kept.into_iter().filter(|member| member.prepared.is_some()));
        spares.extend(dropped.into_iter().map(|member| member.prepared));
    }
    Ok(PixelSelection {
        covers,
        refused,
        pairs: pass.pairs.into_inner(),
        bounded_pairs: pass.bounded_pairs.into_inner(),
    })
}

/// A slice while it is decided on.
struct Member<P> {
    number: usize,
    size: (usize, usize),
    prepared: Option<P>,
    /// The thresholds at which nothing covers it: once all earlier slices were met, those at which it is kept.
    open: ThresholdSet,
    /// Similarities to what covers it, with the thresholds that they cover it at.
    found: Vec<(u32, f32, ThresholdSet)>,
}

impl<P> Member<P> {
    fn new<'a, M: Measure<Prepared<'a> = P>>(
        measure: &M,
        number: usize,
        slice: Candidate<'a>,
        spare: Option<P>,
        thresholds: &[f64],
    ) -> (Self, Option<PictureError>) {
        let (prepared, refusal) = match slice.map(|picture| measure.prepare(picture, spare)) {
            Some(Ok(prepared)) => (Some(prepared), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        let member = Self {
            number,
            size: slice.map_or((0, 0), |picture| (picture.rows, picture.columns)),
            prepared,
            open: ThresholdSet::all(thresholds.len()),
            found: Vec::new(),
        };
        (member, refusal)
    }

    fn covers(&self, thresholds: usize, own: f32) -> Vec<PixelCover> {
        let mut covers: Vec<PixelCover> = Vec::new();
        for index in 0..thresholds {
            let found = self.found.iter().find(|(_, _, covered)| covered.has(index));
            let (exemplar, similarity) = found.map_or((self.number as u32, own), |&(e, s, _)| (e, s));
            if covers.last().is_none_or(|last| last.exemplar != exemplar) {
                covers.push(PixelCover {
                    first: index as u16,
                    exemplar,
                    similarity,
                });
            }
        }
        covers
    }
}

/// What all comparisons share.
struct Pass<'a, M> {
    measure: &'a M,
    thresholds: &'a [f64],
    reach: Reach<'a>,
    watch: &'a Watch,
    pairs: AtomicUsize,
    bounded_pairs: AtomicUsize,
}

impl<M: Measure> Pass<'_, M> {
    /// Compares an open slice with one that is decided on.
    fn meet(
        &self,
        open: &mut Member<M::Prepared<'_>>,
        decided: &Member<M::Prepared<'_>>,
    ) -> Result<(), SelectError> {
        let (Some(a), Some(b)) = (&open.prepared, &decided.prepared) else {
            return Ok(());
        };
        let both = open.open.and(&decided.open);
        let comparable = open.size == decided.size && self.reach.allows(open.number, decided.number);
        let Some(lowest) = both.first().filter(|_| comparable) else {
            return Ok(());
        };
        if self.watch.is_stopped() {
            return Err(SelectError::Stopped);
        }
        self.pairs.fetch_add(1, Ordering::Relaxed);
        match self.measure.compare(a, b, self.thresholds[lowest]) {
            Verdict::AtMost(_) => {
                self.bounded_pairs.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Exact(similarity) => {
                let similarity = rounded(similarity);
                let reached = |&threshold: &f64| f64::from(similarity) >= threshold;
                let covered = both.below(self.thresholds.partition_point(reached));
                if covered.any() {
                    open.open.remove(&covered);
                    open.found.push((decided.number as u32, similarity, covered));
                }
            }
        }
        Ok(())
    }
}
