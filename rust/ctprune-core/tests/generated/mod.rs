//! Fingerprints made from a seed, and pools of a given number of threads.
#![allow(dead_code, reason = "each test file uses its own part")]

use ctprune_core::similarity::hamming::Fingerprints;
use std::ops::ControlFlow;

/// A progress callback that never stops the work.
pub fn never_stop(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Runs something on a pool of `threads` threads.
pub fn in_pool<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(run)
}

/// Named fingerprints in volumes.
pub struct Set {
    pub name: &'static str,
    pub words: usize,
    pub data: Vec<u64>,
    pub starts: Vec<usize>,
}

impl Set {
    pub fn new(name: &'static str, words: usize, data: Vec<u64>, starts: Vec<usize>) -> Set {
        Set {
            name,
            words,
            data,
            starts,
        }
    }

    pub fn fingerprints(&self) -> Fingerprints<'_> {
        Fingerprints::new(self.words, &self.data).unwrap()
    }

    /// One of each kind, `rows` rows of `words` words, in volumes of uneven length.
    pub fn every_kind(rows: usize, words: usize) -> Vec<Set> {
        vec![
            Set::walks(rows, words, 97, 3 * words),
            Set::walks(rows, words, 40, 9 * words),
            Set::uneven("all equal", rows, words, |_, out| out.fill(0x1234)),
            Set::uneven("unrelated", rows, words, |random, out| {
                out.fill_with(|| random.next())
            }),
            Set::uneven("few bits vary", rows, words, |random, out| {
                out.fill_with(|| random.next() & 0xf0f0)
            }),
            Set::uneven("nearly empty", rows, words, |random, out| {
                out.fill_with(|| random.next() & random.next() & random.next() & random.next());
            }),
            Set::uneven("low bits only", rows, words, |random, out| {
                out.fill(0);
                out[0] = random.below(1024);
            }),
            Set::uneven("zeros and ones", rows, words, |random, out| {
                out.fill(0_u64.wrapping_sub(random.below(2)))
            }),
            Set::clusters(rows, words),
        ]
    }

    /// Walks that flip up to `most` bits a step.
    pub fn walks(rows: usize, words: usize, volume: usize, most: usize) -> Set {
        let mut random = Random(words as u64 * 1000 + volume as u64);
        let mut data = Vec::with_capacity(rows * words);
        let mut slice = vec![0; words];
        for row in 0..rows {
            if row % volume == 0 {
                slice.fill_with(|| random.next());
            }
            for _ in 0..random.below(most as u64 + 1) {
                slice[random.below(words as u64) as usize] ^= 1 << random.below(64);
            }
            data.extend_from_slice(&slice);
        }
        let starts = (0..rows).step_by(volume).chain([rows]).collect();
        Set::new("walks", words, data, starts)
    }

    /// A few centers with rows at distances around 6, the usual radius, from them.
    fn clusters(rows: usize, words: usize) -> Set {
        Set::uneven("clusters", rows, words, |random, out| {
            let mut center = Random(random.below(12));
            out.fill_with(|| center.next());
            for _ in 0..5 + random.below(4) {
                out[random.below(out.len() as u64) as usize] ^= 1 << random.below(64);
            }
        })
    }

    fn uneven(
        name: &'static str,
        rows: usize,
        words: usize,
        mut make: impl FnMut(&mut Random, &mut [u64]),
    ) -> Set {
        let mut random = Random(rows as u64 ^ (words as u64) << 32);
        let mut data = vec![0; rows * words];
        data.chunks_exact_mut(words)
            .for_each(|out| make(&mut random, out));
        let mut starts = vec![0];
        while starts[starts.len() - 1] < rows {
            let len = 1 + random.below(150) as usize;
            starts.push(rows.min(starts[starts.len() - 1] + len));
        }
        if rows == 0 {
            starts.push(0);
        }
        Set::new(name, words, data, starts)
    }
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
