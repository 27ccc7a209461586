//! Several fingerprint words at once: the inner loop of every search, for the machine at hand.
//!
//! A [`Task`] is code written once over [`Lanes`]; [`dispatch`] runs it in the best version that the
//! processor has, compiled for it. [`Portable`] is the readable one, and the oracle of the others.

use ctprune_cpu::Cpu;

/// Words side by side.
pub(crate) const WIDTH: usize = 8;

/// Counts of differing bits of [`WIDTH`] words side by side.
pub(crate) trait Lanes {
    /// One count per lane.
    type Counts: Copy;

    /// Zero everywhere.
    fn zero() -> Self::Counts;
    /// Adds to each lane the bits in which `keys[lane]` differs from `anchor` among those of `keep`.
    fn add(counts: Self::Counts, keys: &[u64; WIDTH], anchor: u64, keep: u64) -> Self::Counts;
    /// [`Lanes::add`] for fewer words. The other lanes then hold anything.
    fn add_some(counts: Self::Counts, keys: &[u64], anchor: u64, keep: u64) -> Self::Counts;
    /// One bit per lane: whether its count is at most `limit`.
    fn at_most(counts: Self::Counts, limit: u32) -> u32;

    /// One bit for each of the first 2 × [`WIDTH`] words: whether it differs in at most `limit` bits of `keep`.
    #[inline(always)]
    fn hits_at_start(keys: &[u64], anchor: u64, keep: u64, limit: u32) -> u32 {
        let mut hits = 0;
        for (at, key) in keys.iter().take(2 * WIDTH).enumerate() {
            hits |= u32::from(((key ^ anchor) & keep).count_ones() <= limit) << at;
        }
        hits
    }
}

/// Code that is compiled once per [`Lanes`].
///
/// `run` and all it calls must be `#[inline(always)]`: only then are they compiled for the instructions
/// that [`dispatch`] found.
pub(crate) trait Task {
    /// What it returns.
    type Out;
    /// Runs it on lanes `L`.
    fn run<L: Lanes>(self) -> Self::Out;
}

/// Runs `task` in the fastest version of this processor.
pub(crate) fn dispatch<T: Task>(task: T) -> T::Out {
    dispatch_on(Cpu::detect(), task)
}

/// Runs `task` in the version for `cpu`.
fn dispatch_on<T: Task>(cpu: Cpu, task: T) -> T::Out {
    match cpu {
        // SAFETY: this value exists only where AVX2 and what came with it were detected.
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx2 => unsafe { x86::avx2(task) },
        // SAFETY: this value exists only where these parts of AVX-512 were detected.
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512 => unsafe { x86::avx512(task) },
        _ => task.run::<Portable>(),
    }
}

/// Plain integers, in a form for which the compiler finds AVX2 and NEON instructions.
pub(crate) struct Portable;

impl Lanes for Portable {
    type Counts = [u64; WIDTH];

    #[inline(always)]
    fn zero() -> [u64; WIDTH] {
        [0; WIDTH]
    }

    #[inline(always)]
    fn add(mut counts: [u64; WIDTH], keys: &[u64; WIDTH], anchor: u64, keep: u64) -> [u64; WIDTH] {
        for (count, key) in counts.iter_mut().zip(keys) {
            *count += u64::from(((key ^ anchor) & keep).count_ones());
        }
        counts
    }

    #[inline(always)]
    fn add_some(mut counts: [u64; WIDTH], keys: &[u64], anchor: u64, keep: u64) -> [u64; WIDTH] {
        for (count, key) in counts.iter_mut().zip(keys) {
            *count += u64::from(((key ^ anchor) & keep).count_ones());
        }
        counts
    }

    #[inline(always)]
    fn at_most(counts: [u64; WIDTH], limit: u32) -> u32 {
        let mut mask = 0;
        for (lane, &count) in counts.iter().enumerate() {
            mask |= u32::from(count <= u64::from(limit)) << lane;
        }
        mask
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Portable, Task, WIDTH};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2,popcnt,bmi1,bmi2,lzcnt")]
    pub(super) fn avx2<T: Task>(task: T) -> T::Out {
        task.run::<Portable>()
    }

    #[target_feature(
        enable = "avx2,popcnt,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq"
    )]
    pub(super) fn avx512<T: Task>(task: T) -> T::Out {
        task.run::<Avx512>()
    }

    /// Eight words at once. Private: reached through [`avx512`] only.
    struct Avx512;

    impl Lanes for Avx512 {
        type Counts = __m512i;

        #[inline(always)]
        fn zero() -> __m512i {
            // SAFETY: `Avx512` is used inside `avx512` alone, hence on a processor that has it.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        fn add(counts: __m512i, keys: &[u64; WIDTH], anchor: u64, keep: u64) -> __m512i {
            // SAFETY: as above; the load reads the 64 bytes of the array.
            unsafe { add_differing(counts, _mm512_loadu_epi64(keys.as_ptr().cast()), anchor, keep) }
        }

        #[inline(always)]
        fn add_some(counts: __m512i, keys: &[u64], anchor: u64, keep: u64) -> __m512i {
            let present = if keys.len() >= WIDTH {
                0xff
            } else {
                (1 << keys.len()) - 1
            };
            // SAFETY: as above; the masked load reads the first `keys.len()` words only.
            unsafe {
                let keys = _mm512_maskz_loadu_epi64(present, keys.as_ptr().cast());
                add_differing(counts, keys, anchor, keep)
            }
        }

        /// Without a branch on the number of words: that of a bucket is hard to predict, and a wrong guess
        /// costs more than the comparison.
        #[inline(always)]
        fn hits_at_start(keys: &[u64], anchor: u64, keep: u64, limit: u32) -> u32 {
            let present = (1_u32 << keys.len().min(2 * WIDTH)) - 1;
            let (low, high) = (present as u8, (present >> WIDTH) as u8);
            let start: *const i64 = keys.as_ptr().cast();
            // SAFETY: as above; the masked loads read the words that there are only.
            unsafe {
                let first = _mm512_maskz_loadu_epi64(low, start);
                let second = _mm512_maskz_loadu_epi64(high, start.wrapping_add(WIDTH));
                let limit = _mm512_set1_epi64(i64::from(limit));
                let first = add_differing(_mm512_setzero_si512(), first, anchor, keep);
                let second = add_differing(_mm512_setzero_si512(), second, anchor, keep);
                let low = _mm512_mask_cmple_epu64_mask(low, first, limit);
                let high = _mm512_mask_cmple_epu64_mask(high, second, limit);
                u32::from(low) | u32::from(high) << WIDTH
            }
        }

        #[inline(always)]
        fn at_most(counts: __m512i, limit: u32) -> u32 {
            // SAFETY: as above.
            unsafe {
                u32::from(_mm512_cmple_epu64_mask(
                    counts,
                    _mm512_set1_epi64(i64::from(limit)),
                ))
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    fn add_differing(counts: __m512i, keys: __m512i, anchor: u64, keep: u64) -> __m512i {
        let differing = _mm512_xor_si512(keys, _mm512_set1_epi64(anchor as i64));
        let kept = _mm512_and_si512(differing, _mm512_set1_epi64(keep as i64));
        _mm512_add_epi64(counts, _mm512_popcnt_epi64(kept))
    }
}

/// The first position of `keys` whose word differs from `anchor` in at most `limit` bits of `keep`.
#[inline(always)]
pub(crate) fn first_within<L: Lanes>(keys: &[u64], anchor: u64, keep: u64, limit: u32) -> Option<usize> {
    let hits = L::hits_at_start(keys, anchor, keep, limit);
    if hits != 0 {
        return Some(hits.trailing_zeros() as usize);
    }
    let start = 2 * WIDTH;
    if keys.len() <= start {
        return None;
    }
    let (blocks, rest) = keys[start..].as_chunks::<WIDTH>();
    for (at, block) in blocks.iter().enumerate() {
        let mask = L::at_most(L::add(L::zero(), block, anchor, keep), limit);
        if mask != 0 {
            return Some(start + at * WIDTH + mask.trailing_zeros() as usize);
        }
    }
    let hits = L::hits_at_start(rest, anchor, keep, limit);
    (hits != 0).then(|| start + blocks.len() * WIDTH + hits.trailing_zeros() as usize)
}

/// [`first_within`] from position `start` on for fingerprints of several words, of which `columns[w]` holds
/// the w-th words.
#[inline(always)]
pub(crate) fn first_row_within<L: Lanes>(
    columns: &[Vec<u64>],
    start: usize,
    anchor: &[u64],
    keep: &[u64],
    limit: u32,
) -> Option<usize> {
    if let ([keys], [anchor], [keep]) = (columns, anchor, keep) {
        return first_within::<L>(&keys[start..], *anchor, *keep, limit).map(|at| start + at);
    }
    let rows = columns[0].len();
    (start..rows).step_by(WIDTH).find_map(|block| {
        let mut counts = L::zero();
        for ((keys, anchor), keep) in columns.iter().zip(anchor).zip(keep) {
            counts = match keys[block..].first_chunk() {
                Some(keys) => L::add(counts, keys, *anchor, *keep),
                None => L::add_some(counts, &keys[block..], *anchor, *keep),
            };
        }
        let mask = L::at_most(counts, limit) & ((1 << (rows - block).min(WIDTH)) - 1);
        (mask != 0).then(|| block + mask.trailing_zeros() as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All positions that a search by `first_row_within` finds.
    struct All<'a> {
        columns: &'a [Vec<u64>],
        anchor: &'a [u64],
        keep: &'a [u64],
        limit: u32,
    }

    impl Task for All<'_> {
        type Out = Vec<usize>;

        #[inline(always)]
        fn run<L: Lanes>(self) -> Vec<usize> {
            let mut all = Vec::new();
            let mut start = 0;
            while let Some(at) =
                first_row_within::<L>(self.columns, start, self.anchor, self.keep, self.limit)
            {
                all.push(at);
                start = at + 1;
            }
            all
        }
    }

    #[test]
    fn every_instruction_set_finds_the_same() {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        for words in [1, 2, 4] {
            for rows in (0..40).chain([200]) {
                let columns: Vec<Vec<u64>> = (0..words)
                    .map(|_| (0..rows).map(|_| random()).collect())
                    .collect();
                let anchor: Vec<u64> = (0..words).map(|_| random()).collect();
                let keep: Vec<u64> = (0..words).map(|_| random() | random()).collect();
                for limit in [0, 20, 24, 30, 64 * words as u32] {
                    let distance = |row: usize| -> u32 {
                        (0..words)
                            .map(|w| ((columns[w][row] ^ anchor[w]) & keep[w]).count_ones())
                            .sum()
                    };
                    let expected: Vec<usize> = (0..rows).filter(|&row| distance(row) <= limit).collect();
                    for cpu in Cpu::available() {
                        let all = All {
                            columns: &columns,
                            anchor: &anchor,
                            keep: &keep,
                            limit,
                        };
                        assert_eq!(
                            dispatch_on(cpu, all),
                            expected,
                            "{cpu:?}, {words} words, {rows} rows"
                        );
                    }
                }
            }
        }
    }
}
