//! How to search: by comparing with all kept rows, or by which chunks of bits, cut how.
//!
//! Pigeonhole: cut the bits into chunks and give each a radius `r` so that the sum of `r + 1` is at least
//! `threshold + 1`. Two fingerprints within `threshold` are then within `r` in at least one of the chunks, for were
//! they beyond it in all of them, the differences would add up to more than `threshold`. So it is enough
//! to look, in one table per chunk, at the values within `r` of the query's. Chunks are cut in two steps, whole
//! fingerprints into words and words into chunks, so that within a bucket one word refuses most rows.
//!
//! Many narrow chunks mean few look-ups in large buckets, few wide ones the opposite. What is best depends on the
//! number kept, on how the fingerprints crowd (real ones leave most values unused), and on how far neighbors
//! are apart (a run of rows that agree on a chunk looks it up once). The plan is the cheapest by a rough model. It
//! decides the time that a search takes, never its result.

use super::group;
use crate::similarity::hamming::Fingerprints;

/// Some bits of one word, the values within which to look, and the bits by which that word may differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chunk {
    /// Which word.
    pub(crate) word: usize,
    /// Its first bit.
    pub(crate) shift: u32,
    /// Number of bits.
    pub(crate) width: u32,
    /// Bits by which the chunk may differ.
    pub(crate) radius: u32,
    /// Bits by which the word may differ.
    pub(crate) limit: u32,
}

impl Chunk {
    /// The chunk's bits of a word.
    #[inline(always)]
    pub(crate) fn value(&self, word: u64) -> u32 {
        ((word >> self.shift) & ((1 << self.width) - 1)) as u32
    }

    /// Number of values within the radius.
    fn look_ups(&self) -> f64 {
        let mut choose = 1.0;
        let mut sum = 1.0;
        for flips in 1..=self.radius.min(self.width) {
            choose *= f64::from(self.width - flips + 1) / f64::from(flips);
            sum += choose;
        }
        sum
    }
}

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// Compare with all kept rows.
    Scan,
    /// Look up these chunks.
    Index(Vec<Chunk>),
}

/// Rough times in nanoseconds: a look-up, a word compared in a bucket, and one compared in a long row.
const LOOK_UP: f64 = 6.0;
const IN_BUCKET: f64 = 0.1;
const IN_SCAN: f64 = 0.12;

/// Widest chunk: 2^22 heads take 32 MiB. Nor does a table have more than eight times as many buckets as rows.
const MAX_WIDTH: u32 = 22;

/// What a plan is made for.
pub(crate) struct Outlook<'a> {
    /// The fingerprints.
    pub(crate) fingerprints: Fingerprints<'a>,
    /// Rows kept so far.
    pub(crate) kept: &'a [u32],
    /// Number of kept rows to plan for.
    pub(crate) planned: usize,
    /// Rows to be searched for soon.
    pub(crate) next: std::ops::Range<usize>,
    /// Distance up to which rows are similar.
    pub(crate) threshold: u32,
}

impl Outlook<'_> {
    /// The cheapest plan.
    pub(crate) fn plan(&self) -> Plan {
        let words = self.fingerprints.words();
        let step = self.mean_step();
        let free_bits = f64::from(group::free_bits(self.fingerprints.bits(), self.threshold));
        let group_rows = (1.0 + free_bits / step.max(0.1)).min(group::MAX_ROWS as f64);
        let scan = self.planned as f64 * words as f64 * IN_SCAN / group_rows;
        let mut cost = 0.0;
        let mut chunks = Vec::new();
        for (word, limit) in shares(self.threshold, words).enumerate() {
            let Some(best) = self.best_cut(word, limit, step / words as f64, scan - cost) else {
                return Plan::Scan;
            };
            cost += best.cost;
            chunks.extend(best.chunks);
        }
        Plan::Index(chunks)
    }

    /// The cheapest way, below `at_most`, to cut one word that may differ in `limit` bits.
    fn best_cut(&self, word: usize, limit: u32, step: f64, at_most: f64) -> Option<Cut> {
        let sample = self.sample(word);
        let mut best: Option<Cut> = None;
        let widest = MAX_WIDTH.min(self.planned.max(1).ilog2() + 3);
        for chunks in cuts(word, limit, widest) {
            let mut left = best.as_ref().map_or(at_most, |cut| cut.cost);
            let whole = left;
            for chunk in &chunks {
                left -= self.cost(chunk, step, &sample, left);
            }
            if left > 0.0 {
                best = Some(Cut {
                    chunks,
                    cost: whole - left,
                });
            }
        }
        best
    }

    /// Expected time per row to look up one chunk; some number above `at_most` if it is more than that.
    fn cost(&self, chunk: &Chunk, step: f64, sample: &[u64], at_most: f64) -> f64 {
        // Neighbors that agree on the chunk share its look-ups.
        let changes = 1.0 - (1.0 - f64::from(chunk.width) / 64.0).powf(step);
        let look_ups = chunk.look_ups() * changes.max(1.0 / group::MAX_ROWS as f64);
        let unavoidable = look_ups * LOOK_UP;
        if unavoidable > at_most {
            return unavoidable;
        }
        unavoidable + look_ups * IN_BUCKET * self.planned as f64 * crowding(chunk, sample)
    }

    /// Mean distance of neighboring rows.
    fn mean_step(&self) -> f64 {
        let every = (self.next.len() / 1024).max(1);
        let rows = self.next.clone().skip(1).step_by(every);
        let (mut sum, mut count) = (0, 0);
        for row in rows {
            sum += self.fingerprints.distance(row - 1, row);
            count += 1;
        }
        f64::from(sum) / f64::from(count.max(1))
    }

    /// One word of up to 512 kept rows.
    fn sample(&self, word: usize) -> Vec<u64> {
        let every = self.kept.len().div_ceil(512).max(1);
        self.kept
            .iter()
            .step_by(every)
            .map(|&row| self.fingerprints.row(row as usize)[word])
            .collect()
    }
}

/// A word cut into chunks.
struct Cut {
    chunks: Vec<Chunk>,
    cost: f64,
}

/// Radii of `parts` parts, the sum of `radius + 1` being that of the whole; only as many as are needed.
pub(crate) fn shares(radius: u32, parts: usize) -> impl Iterator<Item = u32> {
    let parts = parts as u32;
    let (each, over) = ((radius + 1) / parts, (radius + 1) % parts);
    (0..parts)
        .map(move |part| each + u32::from(part < over))
        .take_while(|&share| share > 0)
        .map(|share| share - 1)
}

/// The ways to cut one word that are worth considering.
fn cuts(word: usize, limit: u32, widest: u32) -> impl Iterator<Item = Vec<Chunk>> {
    let parts = (1..=(limit + 1).min(16)).rev();
    // Chunks with more flips may be wider than the others by some bits.
    parts.flat_map(move |parts| {
        [0, 2, 4]
            .into_iter()
            .filter_map(move |extra| cut(word, limit, parts, extra, widest))
    })
}

/// A word cut into `parts` chunks, none wider than `widest`; those with more flips wider by `extra` bits.
pub(crate) fn cut(word: usize, limit: u32, parts: u32, extra: u32, widest: u32) -> Option<Vec<Chunk>> {
    let over = (limit + 1) % parts;
    if over == 0 && extra > 0 {
        return None;
    }
    let narrow = (64 - over * extra) / parts;
    // Bits that remain widen the first chunks by one each; bits beyond the widest chunk are not used.
    let mut remaining = 64 - over * extra - parts * narrow;
    let mut shift = 0;
    let mut chunks = Vec::new();
    for (part, radius) in shares(limit, parts as usize).enumerate() {
        let mut width = narrow + if (part as u32) < over { extra } else { 0 };
        if remaining > 0 {
            width += 1;
            remaining -= 1;
        }
        chunks.push(Chunk {
            word,
            shift,
            width: width.min(widest),
            radius,
            limit,
        });
        shift += width;
    }
    Some(chunks)
}

/// Probability that two kept rows have the same value of the chunk.
fn crowding(chunk: &Chunk, sample: &[u64]) -> f64 {
    let mut values: Vec<u32> = sample.iter().map(|&word| chunk.value(word)).collect();
    values.sort_unstable();
    let pairs = |n: usize| n as f64 * (n as f64 - 1.0) / 2.0;
    let same: f64 = values.chunk_by(|a, b| a == b).map(|run| pairs(run.len())).sum();
    let uniform = (-f64::from(chunk.width)).exp2();
    (same / pairs(values.len()).max(1.0)).max(uniform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_satisfies_the_pigeonhole() {
        for limit in 0..64 {
            for chunks in cuts(0, limit, 9 + limit % 14) {
                let sum: u32 = chunks.iter().map(|chunk| chunk.radius + 1).sum();
                assert!(sum > limit, "{limit}: {chunks:?}");
                let apart = chunks
                    .windows(2)
                    .all(|pair| pair[0].shift + pair[0].width <= pair[1].shift);
                let last = chunks[chunks.len() - 1];
                assert!(apart && last.shift + last.width <= 64, "{limit}: {chunks:?}");
            }
        }
    }

    #[test]
    fn shares_add_up() {
        for radius in 0..300 {
            for parts in 1..20 {
                assert_eq!(
                    shares(radius, parts).map(|share| share + 1).sum::<u32>(),
                    radius + 1
                );
            }
        }
    }
}
