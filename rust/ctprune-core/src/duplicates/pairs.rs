//! From a few slices of each volume to pairs.

use super::align::{Line, fit, has_positions};
use super::lookup::{Hit, Lookup};
use super::{FEWEST_SLICES, Fit, Pair, Rule, Turn, Volumes, check};
use crate::selection::SelectError;
use crate::similarity::hamming::lanes::{self, Lanes, Task};
use crate::watch::Watch;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::ops::Range;

/// Slices of a volume that are looked up, evenly spread.
const PROBES: usize = 24;

/// Probes that must be found at one shift before two volumes are laid upon each other.
const FEWEST_VOTES: usize = 3;

/// Partners of a volume that are looked at closely: those with the most votes.
const MOST_PARTNERS: usize = 64;

/// Distance up to which a probe counts as found, of 64 bits: the paper's threshold.
const PROBE_BITS: u32 = 6;

/// Slices by which a shift that probes agree on is tried to both sides: neighbors look alike, so votes smear.
const REFINED: i32 = 6;

/// Finds the pairs of volumes that show the same anatomy, by ascending numbers.
///
/// `watch` counts the volumes done; once it is stopped, the result is [`SelectError::Stopped`]. Runs on the current
/// rayon pool; the result is the same on any.
pub fn find_pairs(volumes: &Volumes<'_>, rule: &Rule, watch: &Watch) -> Result<Vec<Pair>, SelectError> {
    check(volumes, rule)?;
    let bits = volumes.fingerprints.bits();
    let radius = (PROBE_BITS * bits).div_ceil(64).min(bits);
    let search = Search {
        volumes,
        rule,
        lookup: Lookup::new(volumes.fingerprints, radius, false),
        volume_of: numbers(volumes.starts),
        placed: (0..volumes.starts.len() - 1)
            .map(|volume| has_positions(volumes, volumes.starts[volume]..volumes.starts[volume + 1]))
            .collect(),
    };
    let found: Vec<Vec<Pair>> = (0..volumes.starts.len() - 1)
        .into_par_iter()
        .with_max_len(1)
        .map(|volume| {
            if watch.is_stopped() {
                return Err(SelectError::Stopped);
            }
            let pairs = search.partners(volume);
            watch.advance(1);
            Ok(pairs)
        })
        .collect::<Result<_, _>>()?;
    let mut best: FxHashMap<(u32, u32), Pair> = FxHashMap::default();
    for pair in found.into_iter().flatten() {
        let known = best.entry((pair.a, pair.b)).or_insert_with(|| pair.clone());
        if pair.fit.beats(&known.fit) {
            *known = pair;
        }
    }
    let mut pairs: Vec<Pair> = best.into_values().collect();
    pairs.sort_unstable_by_key(|pair| (pair.a, pair.b));
    Ok(pairs)
}

/// The volume of each slice.
fn numbers(starts: &[usize]) -> Vec<u32> {
    let volumes = (0u32..).zip(starts.windows(2));
    let of_volume = |(volume, range): (u32, &[usize])| vec![volume; range[1] - range[0]];
    volumes.flat_map(of_volume).collect()
}

struct Search<'a> {
    volumes: &'a Volumes<'a>,
    rule: &'a Rule,
    lookup: Lookup<'a>,
    volume_of: Vec<u32>,
    placed: Vec<bool>,
}

/// A slice of another volume that a probe has found.
#[derive(Clone, Copy)]
struct Vote {
    other: u32,
    turn: u8,
    probe: u32,
    row: u32,
}

impl Search<'_> {
    fn rows(&self, volume: usize) -> Range<usize> {
        self.volumes.starts[volume]..self.volumes.starts[volume + 1]
    }

    /// Pairs of a volume with those in which its probes are found.
    fn partners(&self, volume: usize) -> Vec<Pair> {
        let rows = self.rows(volume);
        if rows.len() < FEWEST_SLICES {
            return Vec::new();
        }
        let own = Line::new(self.volumes, rows.clone(), self.placed[volume]);
        let turned: Vec<Line> = self
            .rule
            .turns
            .iter()
            .map(|&turn| own.turned(turn, self.rule.hash_size))
            .collect();
        let votes = self.votes(volume, &turned);
        let mut by_number: Option<Vec<Line>> = None;
        let mut pairs = Vec::new();
        for votes in candidates(&votes) {
            let (other, turn) = (votes[0].other as usize, usize::from(votes[0].turn));
            let is_in_mm = self.placed[volume] && self.placed[other];
            let own = if is_in_mm || !self.placed[volume] {
                &turned[turn]
            } else {
                let lines = by_number.get_or_insert_with(|| {
                    let own = Line::new(self.volumes, rows.clone(), false);
                    let turns = self.rule.turns.iter();
                    turns.map(|&turn| own.turned(turn, self.rule.hash_size)).collect()
                });
                &lines[turn]
            };
            let theirs = Line::new(self.volumes, self.rows(other), is_in_mm);
            if let Some(fit) = self.best_fit(own, &theirs, votes, is_in_mm) {
                pairs.push(pair(volume, other, self.rule.turns[turn], fit));
            }
        }
        pairs
    }

    /// What the probes of a volume find in others, by volume and turn; slices of one value are no probes.
    fn votes(&self, volume: usize, turned: &[Line]) -> Vec<Vote> {
        let count = turned[0].len();
        let probes = (0..PROBES.min(count)).map(|probe| (2 * probe + 1) * count / (2 * PROBES.min(count)));
        let probes: Vec<usize> = probes.filter(|&at| !turned[0].is_empty_at(at)).collect();
        let is_wanted = |other: u32| match self.rule.between {
            _ if other as usize == volume => false,
            Some(first) => (volume < first) != ((other as usize) < first),
            None => true,
        };
        let (mut votes, mut hits): (Vec<Vote>, Vec<Hit>) = (Vec::new(), Vec::new());
        for (turn, line) in turned.iter().enumerate() {
            for &at in &probes {
                self.lookup.within(line.fingerprint(at), &mut hits);
                let found = hits.iter().map(|hit| (self.volume_of[hit.row as usize], hit.row));
                votes.extend(
                    found
                        .filter(|&(other, _)| is_wanted(other))
                        .map(|(other, row)| Vote {
                            other,
                            turn: turn as u8,
                            probe: at as u32,
                            row,
                        }),
                );
            }
        }
        votes.sort_by_key(|vote| (vote.other, vote.turn, vote.probe, vote.row));
        votes
    }

    /// The best fit at the shifts that the votes speak for, in both directions, if it makes a pair.
    fn best_fit(&self, own: &Line, theirs: &Line, votes: &[Vote], is_in_mm: bool) -> Option<Fit> {
        lanes::dispatch(BestFit {
            search: self,
            own,
            theirs,
            votes,
            is_in_mm,
        })
    }
}

struct BestFit<'a> {
    search: &'a Search<'a>,
    own: &'a Line,
    theirs: &'a Line,
    votes: &'a [Vote],
    is_in_mm: bool,
}

impl Task for BestFit<'_> {
    type Out = Option<Fit>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Option<Fit> {
        let Self { own, theirs, .. } = self;
        let first = self.search.volumes.starts[self.votes[0].other as usize] as u32;
        // The line is sorted by position: where each row stands in it.
        let mut stands = vec![0; theirs.len()];
        for (at, &row) in theirs.rows.iter().enumerate() {
            stands[(row - first) as usize] = at;
        }
        let mut best: Option<Fit> = None;
        for scale in scales(own, theirs, self.is_in_mm) {
            let shift_of = |vote: &Vote| {
                let position = theirs.position(stands[(vote.row - first) as usize]);
                (position - scale * own.position(vote.probe as usize), vote.probe)
            };
            let mut shifts: Vec<(f64, u32)> = self.votes.iter().map(shift_of).collect();
            shifts.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let step = theirs.spacing.min(own.spacing * scale.abs());
            let width = 2.0 * theirs.spacing.max(own.spacing * scale.abs());
            let Some(shift) = most_voted(&shifts, width) else {
                continue;
            };
            for tried in -REFINED..=REFINED {
                let shift = shift + f64::from(tried) * step;
                let fit = fit(own, theirs, scale, shift, self.is_in_mm, self.search.rule);
                let Some(fit) = fit.filter(|fit| fit.median <= f64::from(self.search.rule.threshold)) else {
                    continue;
                };
                if best.as_ref().is_none_or(|best| fit.beats(best)) {
                    best = Some(fit);
                }
            }
        }
        best
    }
}

/// The ratios of positions in two volumes that are tried: both directions, and where only the numbers of slices are known
/// also that which makes the volumes equally long.
pub(super) fn scales(own: &Line, theirs: &Line, is_in_mm: bool) -> Vec<f64> {
    let ratio = (theirs.len() - 1) as f64 / (own.len() - 1) as f64;
    if is_in_mm || ratio == 1.0 {
        vec![1.0, -1.0]
    } else {
        vec![1.0, -1.0, ratio, -ratio]
    }
}

/// The shift that the most probes agree on within `width`; of ascending shifts with their probes.
fn most_voted(shifts: &[(f64, u32)], width: f64) -> Option<f64> {
    let mut counts: FxHashMap<u32, u32> = FxHashMap::default();
    let (mut end, mut most, mut found) = (0, FEWEST_VOTES - 1, None);
    for start in 0..shifts.len() {
        while end < shifts.len() && shifts[end].0 <= shifts[start].0 + width {
            *counts.entry(shifts[end].1).or_default() += 1;
            end += 1;
        }
        if counts.len() > most {
            most = counts.len();
            found = Some(shifts[(start + end - 1) / 2].0);
        }
        let probe = shifts[start].1;
        if let Some(count) = counts.get_mut(&probe) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&probe);
            }
        }
    }
    found
}

/// Votes for one volume and turn, of the most voted ones that enough probes are found in.
fn candidates(votes: &[Vote]) -> Vec<&[Vote]> {
    let groups = votes.chunk_by(|a, b| (a.other, a.turn) == (b.other, b.turn));
    let probes = |group: &[Vote]| group.chunk_by(|a, b| a.probe == b.probe).count();
    let mut counted: Vec<(usize, &[Vote])> = groups.map(|group| (probes(group), group)).collect();
    counted.retain(|(probes, _)| *probes >= FEWEST_VOTES);
    counted.sort_by_key(|(probes, group)| (std::cmp::Reverse(*probes), group[0].other, group[0].turn));
    counted.truncate(MOST_PARTNERS);
    counted.into_iter().map(|(_, group)| group).collect()
}

pub(super) fn pair(own: usize, other: usize, turn: Turn, fit: Fit) -> Pair {
    let (a, b) = (own.min(other) as u32, own.max(other) as u32);
    let fit = if own < other { fit } else { fit.inverse() };
    Pair { a, b, turn, fit }
}
