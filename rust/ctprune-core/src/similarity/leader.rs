//! The greedy exemplar rule on one volume, at many thresholds in one pass.
//!
//! Whether an earlier slice covers a later one depends on what was kept before, at each threshold for itself. But a pair
//! is compared only once: against the lowest threshold at which the earlier one is kept and the later one still open. If
//! it is similar there, the similarity itself says at which others it is too.
//!
//! Slices are decided in blocks: first each against all that came before the block, side by side; then one after the
//! other, what is kept against the rest of the block. Each slice meets the earlier ones in order whatever the threads do.

use super::{Measure, Picture, Verdict, rounded};
use crate::select::SelectError;
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Least number of slices in a block.
const BLOCK: usize = 16;

/// How a pass is watched and stopped from another thread.
#[derive(Debug, Default)]
pub struct Watch {
    /// Set it, and the result is [`SelectError::Cancelled`].
    pub stop: AtomicBool,
    /// Slices decided on so far.
    pub decided: AtomicUsize,
    /// Pairs that the rule asked for.
    pub pairs: AtomicUsize,
    /// Pairs among them whose similarity was not computed, since a bound was enough.
    pub avoided: AtomicUsize,
}

/// From threshold `first` on, up to the next cover of the slice, this slice covers it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cover {
    /// Place of the first threshold.
    pub first: u16,
    /// Number of the exemplar in its volume: the slice itself where it is kept.
    pub exemplar: u32,
    /// Similarity to it.
    pub similarity: f32,
}

/// For each slice of a volume what covers it, at ascending thresholds.
pub type Covers = Vec<Vec<Cover>>;

/// The cover at a threshold.
pub fn cover_at(covers: &[Cover], threshold: usize) -> Cover {
    covers[covers.partition_point(|cover| usize::from(cover.first) <= threshold) - 1]
}

/// A slice to decide on: its pixels, or none where it could not be read; such a slice is kept and covers none.
pub type Candidate<'a> = Option<Picture<'a>>;

/// Applies the rule to the slices of one volume at ascending thresholds. A slice is similar to another of the same size
/// when the similarity, rounded to `f32`, is at least the threshold; `own` is that of a slice with itself.
///
/// Also says, by number, which slices cannot be compared, and why.
pub fn leader<M: Measure>(
    measure: &M,
    slices: &[Candidate<'_>],
    thresholds: &[f64],
    own: f32,
    watch: &Watch,
) -> Result<(Covers, Vec<(usize, String)>), SelectError> {
    crate::select::check_rows(slices.len())?;
    let mut refused = Vec::new();
    let mut earlier: Vec<Member<M::Prepared<'_>>> = Vec::new();
    let mut spares: Vec<Option<M::Prepared<'_>>> = Vec::new();
    let mut covers = Vec::with_capacity(slices.len());
    let size = BLOCK.max(4 * rayon::current_num_threads());
    for (block, slices) in slices.chunks(size).enumerate() {
        let pass = Pass {
            measure,
            thresholds,
            watch,
        };
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
            watch.decided.fetch_add(1, Ordering::Relaxed);
        }
        for member in &members {
            covers.push(member.covers(thresholds.len(), own));
        }
        // A slice that is kept nowhere is never looked at again, and its maps are large.
        let (kept, dropped): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.open.any());
        earlier.extend(kept.into_iter().filter(|member| member.prepared.is_some()));
        spares.extend(dropped.into_iter().map(|member| member.prepared));
    }
    Ok((covers, refused))
}

/// A slice on its way.
struct Member<P> {
    number: usize,
    size: (usize, usize),
    prepared: Option<P>,
    /// The thresholds at which nothing covers it: once all earlier slices were met, those at which it is kept.
    open: Places,
    /// Similarities to what covers it, with the thresholds that they cover it at.
    found: Vec<(u32, f32, Places)>,
}

impl<P> Member<P> {
    fn new<'a, M: Measure<Prepared<'a> = P>>(
        measure: &M,
        number: usize,
        slice: Candidate<'a>,
        spare: Option<P>,
        thresholds: &[f64],
    ) -> (Self, Option<String>) {
        let (prepared, refusal) = match slice.map(|picture| measure.prepare(picture, spare)) {
            Some(Ok(prepared)) => (Some(prepared), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        let member = Self {
            number,
            size: slice.map_or((0, 0), |picture| (picture.rows, picture.columns)),
            prepared,
            open: Places::all(thresholds.len()),
            found: Vec::new(),
        };
        (member, refusal)
    }

    fn covers(&self, thresholds: usize, own: f32) -> Vec<Cover> {
        let mut covers: Vec<Cover> = Vec::new();
        for place in 0..thresholds {
            let found = self.found.iter().find(|(_, _, places)| places.has(place));
            let (exemplar, similarity) = found.map_or((self.number as u32, own), |&(e, s, _)| (e, s));
            if covers.last().is_none_or(|last| last.exemplar != exemplar) {
                covers.push(Cover {
                    first: place as u16,
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
    watch: &'a Watch,
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
        let Some(lowest) = both.first().filter(|_| open.size == decided.size) else {
            return Ok(());
        };
        if self.watch.stop.load(Ordering::Relaxed) {
            return Err(SelectError::Cancelled);
        }
        self.watch.pairs.fetch_add(1, Ordering::Relaxed);
        match self.measure.compare(a, b, self.thresholds[lowest]) {
            Verdict::AtMost(_) => {
                self.watch.avoided.fetch_add(1, Ordering::Relaxed);
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

/// Some of the thresholds.
#[derive(Clone, Debug)]
struct Places(Vec<u64>);

impl Places {
    fn all(count: usize) -> Self {
        Self(vec![u64::MAX; count.div_ceil(64)]).below(count)
    }

    fn below(&self, end: usize) -> Self {
        let word = |(at, &word): (usize, &u64)| match end.saturating_sub(64 * at) {
            0 => 0,
            bits if bits >= 64 => word,
            bits => word & ((1 << bits) - 1),
        };
        Self(self.0.iter().enumerate().map(word).collect())
    }

    fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    fn remove(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    fn any(&self) -> bool {
        self.first().is_some()
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn first(&self) -> Option<usize> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some(64 * word + self.0[word].trailing_zeros() as usize)
    }
}
