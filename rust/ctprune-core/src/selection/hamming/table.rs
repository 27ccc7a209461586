//! Kept fingerprints by the value of one chunk of their bits.

use super::plan::Chunk;
use ctprune_cpu::prefetch;

/// Words per unit of the pool: a bucket has room for 4, 8, 16, … rows.
const UNIT: usize = 4;

/// Where a bucket lies in the pool, and how many rows it has. Its room follows from that: the next power of
/// two, at least [`UNIT`].
#[derive(Clone, Copy, Default)]
struct Head {
    unit: u32,
    len: u32,
}

/// A hash table without hashing: bucket `v` holds all kept rows whose chunk has the value `v`, ascending.
///
/// A bucket holds the word itself beside the row's number, so that a search reads contiguous memory. Buckets
/// that are full move to a block of twice the size; the block they leave is used again.
pub(crate) struct Table {
    chunk: Chunk,
    flips: Vec<u32>,
    heads: Vec<Head>,
    words: Vec<u64>,
    rows: Vec<u32>,
    left: Vec<Vec<u32>>,
}

impl Table {
    pub(crate) fn new(chunk: Chunk) -> Self {
        Table {
            chunk,
            flips: flips(chunk.width, chunk.radius),
            heads: vec![Head::default(); 1 << chunk.width],
            words: Vec::new(),
            rows: Vec::new(),
            left: Vec::new(),
        }
    }

    pub(crate) fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// What to change in a value, by exclusive or, to reach each value within the chunk's radius.
    pub(crate) fn flips(&self) -> &[u32] {
        &self.flips
    }

    /// The words and the numbers of the rows whose chunk has this value.
    #[inline(always)]
    pub(crate) fn bucket(&self, value: u32) -> (&[u64], &[u32]) {
        let head = self.heads[value as usize];
        let (start, len) = (head.unit as usize * UNIT, head.len as usize);
        (&self.words[start..][..len], &self.rows[start..][..len])
    }

    /// Asks for the first words of a bucket to be brought into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self, value: u32) {
        prefetch(&self.words, self.heads[value as usize].unit as usize * UNIT);
    }

    /// Removes all rows, but keeps the memory for new ones.
    pub(crate) fn clear(&mut self) {
        self.heads.fill(Head::default());
        self.words.clear();
        self.rows.clear();
        self.left.clear();
    }

    /// Adds a row, later than all there are.
    pub(crate) fn insert(&mut self, word: u64, row: u32) {
        let value = self.chunk.value(word) as usize;
        let Head { len, .. } = self.heads[value];
        if len == 0 {
            self.heads[value].unit = self.room(0);
        } else if len as usize >= UNIT && len.is_power_of_two() {
            self.widen(value);
        }
        let head = &mut self.heads[value];
        let at = head.unit as usize * UNIT + len as usize;
        self.words[at] = word;
        self.rows[at] = row;
        head.len += 1;
    }

    /// Moves a full bucket to a block of twice the size.
    fn widen(&mut self, value: usize) {
        let Head { unit, len } = self.heads[value];
        let class = (len as usize / UNIT).ilog2() as usize;
        let wider = self.room(class + 1);
        let (from, to) = (unit as usize * UNIT, wider as usize * UNIT);
        self.words.copy_within(from..from + len as usize, to);
        self.rows.copy_within(from..from + len as usize, to);
        self.heads[value].unit = wider;
        self.left[class].push(unit);
    }

    /// A block of `UNIT × 2^class` rows.
    fn room(&mut self, class: usize) -> u32 {
        if self.left.len() <= class {
            self.left.resize(class + 1, Vec::new());
        }
        self.left[class].pop().unwrap_or_else(|| {
            let unit = self.words.len() / UNIT;
            self.words.resize(self.words.len() + (UNIT << class), 0);
            self.rows.resize(self.rows.len() + (UNIT << class), 0);
            unit as u32
        })
    }
}

/// All numbers of `width` bits of which at most `radius` are set, the fewest first.
pub(crate) fn flips(width: u32, radius: u32) -> Vec<u32> {
    let mut all = vec![0];
    let mut last = 0..1;
    for _ in 0..radius.min(width) {
        let start = all.len();
        for at in last {
            let flip: u32 = all[at];
            let above = u32::BITS - flip.leading_zeros();
            all.extend((above..width).map(|bit| flip | 1 << bit));
        }
        last = start..all.len();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flips_are_all_numbers_with_few_bits() {
        for width in 0..10 {
            for radius in 0..=width {
                let mut found = flips(width, radius);
                found.sort_unstable();
                let expected: Vec<u32> = (0..1 << width)
                    .filter(|v: &u32| v.count_ones() <= radius)
                    .collect();
                assert_eq!(found, expected, "{width} bits, {radius} flips");
            }
        }
    }

    #[test]
    fn buckets_keep_all_rows_in_order() {
        let chunk = Chunk {
            word: 0,
            shift: 3,
            width: 4,
            radius: 1,
            limit: 6,
        };
        let mut table = Table::new(chunk);
        let words: Vec<u64> = (0..5000)
            .map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)
            .collect();
        for (row, &word) in words.iter().enumerate() {
            table.insert(word, row as u32);
        }
        for value in 0..16 {
            let expected: Vec<u32> = (0..5000)
                .filter(|&row| (words[row as usize] >> 3) & 15 == u64::from(value))
                .collect();
            let (found_words, found_rows) = table.bucket(value);
            assert_eq!(found_rows, expected);
            assert!(
                found_words
                    .iter()
                    .zip(&expected)
                    .all(|(&word, &row)| word == words[row as usize])
            );
        }
    }
}
