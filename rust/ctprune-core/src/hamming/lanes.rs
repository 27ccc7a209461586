//! Several fingerprint words at once: the inner loop of every search, for the machine at hand.
//!
//! A [`Task`] is code written once over [`Lanes`]; [`dispatch`] runs it in the best version that the
//! processor has, compiled for it. [`Portable`] is the readable one, and the oracle of the others.

/// Counts of differing bits of [`Lanes::WIDTH`] words side by side.
pub(crate) trait Lanes {
    /// Words at once, at most 8.
    const WIDTH: usize;
    /// One count per lane.
    type Counts: Copy;

    /// Zero everywhere.
    fn zero() -> Self::Counts;
    /// Adds to each lane the bits in which `keys[lane]` differs from `anchor` among those of `keep`.
    /// Lanes from `keys.len()` on, if it is below `WIDTH`, hold anything.
    fn add(counts: Self::Counts, keys: &[u64], anchor: u64, keep: u64) -> Self::Counts;
    /// One bit per lane: whether its count is at most `limit`.
    fn at_most(counts: Self::Counts, limit: u32) -> u32;
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

/// A version of the lanes, from slow to fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// All versions that this processor can run.
pub(crate) fn levels() -> Vec<Level> {
    let mut levels = vec![Level::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vpopcntdq");
        if avx2 {
            levels.push(Level::Avx2);
        }
        if avx2 && avx512 {
            levels.push(Level::Avx512);
        }
    }
    levels
}

/// Runs `task` in the fastest version.
pub(crate) fn dispatch<T: Task>(task: T) -> T::Out {
    static BEST: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
    let best = *BEST.get_or_init(|| levels().pop().unwrap_or(Level::Portable));
    dispatch_at(best, task)
}

/// Runs `task` in the version `level`, which must be one of [`levels`].
pub(crate) fn dispatch_at<T: Task>(level: Level, task: T) -> T::Out {
    match level {
        Level::Portable => task.run::<Portable>(),
        // SAFETY: a level is in `levels` only if the processor has all that its function is compiled for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::avx2(task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::avx512(task) },
    }
}

/// Plain integers. Four at a time, so that the compiler finds AVX2 and NEON instructions for them.
pub(crate) struct Portable;

impl Lanes for Portable {
    const WIDTH: usize = 4;
    type Counts = [u64; 4];

    #[inline(always)]
    fn zero() -> [u64; 4] {
        [0; 4]
    }

    #[inline(always)]
    fn add(mut counts: [u64; 4], keys: &[u64], anchor: u64, keep: u64) -> [u64; 4] {
        if let Some(keys) = keys.first_chunk::<4>() {
            for (count, key) in counts.iter_mut().zip(keys) {
                *count += u64::from(((key ^ anchor) & keep).count_ones());
            }
        } else {
            for (count, key) in counts.iter_mut().zip(keys) {
                *count += u64::from(((key ^ anchor) & keep).count_ones());
            }
        }
        counts
    }

    #[inline(always)]
    fn at_most(counts: [u64; 4], limit: u32) -> u32 {
        let mut mask = 0;
        for (lane, &count) in counts.iter().enumerate() {
            mask |= u32::from(count <= u64::from(limit)) << lane;
        }
        mask
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Portable, Task};
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
        const WIDTH: usize = 8;
        type Counts = __m512i;

        #[inline(always)]
        fn zero() -> __m512i {
            // SAFETY: `Avx512` is used inside `avx512` alone, hence on a processor that has it.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        fn add(counts: __m512i, keys: &[u64], anchor: u64, keep: u64) -> __m512i {
            let present = if keys.len() >= 8 {
                0xff
            } else {
                (1_u32 << keys.len()) - 1
            } as __mmask8;
            // SAFETY: as above; the masked load touches the first `keys.len()` words only.
            unsafe {
                let keys = _mm512_maskz_loadu_epi64(present, keys.as_ptr().cast());
                let differing = _mm512_xor_si512(keys, _mm512_set1_epi64(anchor as i64));
                let kept = _mm512_and_si512(differing, _mm512_set1_epi64(keep as i64));
                _mm512_add_epi64(counts, _mm512_popcnt_epi64(kept))
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
}

/// Calls `hit` with each position of `keys` whose word differs from `anchor` in at most `limit` bits of
/// `keep`, in ascending order, until it returns false.
#[inline(always)]
pub(crate) fn within<L: Lanes>(
    keys: &[u64],
    anchor: u64,
    keep: u64,
    limit: u32,
    mut hit: impl FnMut(usize) -> bool,
) {
    let mut start = 0;
    while start < keys.len() {
        let rest = &keys[start..];
        let mut mask = L::at_most(L::add(L::zero(), rest, anchor, keep), limit) & present::<L>(rest.len());
        while mask != 0 {
            if !hit(start + mask.trailing_zeros() as usize) {
                return;
            }
            mask &= mask - 1;
        }
        start += L::WIDTH;
    }
}

/// [`within`] for fingerprints of several words, of which `columns[w]` holds the w-th words.
#[inline(always)]
pub(crate) fn within_rows<L: Lanes>(
    columns: &[Vec<u64>],
    anchor: &[u64],
    keep: &[u64],
    limit: u32,
    mut hit: impl FnMut(usize) -> bool,
) {
    if let ([keys], [anchor], [keep]) = (columns, anchor, keep) {
        return within::<L>(keys, *anchor, *keep, limit, hit);
    }
    let rows = columns[0].len();
    let mut start = 0;
    while start < rows {
        let mut counts = L::zero();
        for ((keys, anchor), keep) in columns.iter().zip(anchor).zip(keep) {
            counts = L::add(counts, &keys[start..], *anchor, *keep);
        }
        let mut mask = L::at_most(counts, limit) & present::<L>(rows - start);
        while mask != 0 {
            if !hit(start + mask.trailing_zeros() as usize) {
                return;
            }
            mask &= mask - 1;
        }
        start += L::WIDTH;
    }
}

/// One bit for each of the lanes that hold one of `left` words.
#[inline(always)]
fn present<L: Lanes>(left: usize) -> u32 {
    (1 << left.min(L::WIDTH)) - 1
}
