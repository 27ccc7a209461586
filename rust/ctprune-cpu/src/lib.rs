//! Which instruction set the fast paths use: found once at run time, for all crates.
//!
//! Plain loops that a compiler can vectorize are written once and compiled for each set ([`by_cpu!`]). Only where that
//! is not enough does a module hold hand-written instructions, and choose them by a [`Cpu`].

use std::sync::LazyLock;

/// An instruction set that ctprune has code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// Plain code, compiled for what every processor of the target has: SSE2 on x86-64, NEON on aarch64.
    Baseline,
    /// AVX2, and what came with it: FMA, POPCNT, LZCNT, BMI1 and BMI2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// [`Cpu::Avx2`], and AVX-512 as of Ice Lake and Zen 4: F, BW, DQ, VL, VBMI and VPOPCNTDQ.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON, which plain code is compiled for anyway: this is where it is written by hand.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Cpu {
    /// The best set of this processor.
    #[inline]
    pub fn detect() -> Self {
        static BEST: LazyLock<Cpu> = LazyLock::new(best);
        *BEST
    }

    /// All sets of this processor, the best one last, so that tests can compare them.
    pub fn available() -> Vec<Self> {
        let mut sets = vec![Cpu::Baseline];
        #[cfg(target_arch = "x86_64")]
        if Self::detect() == Cpu::Avx512 {
            sets.push(Cpu::Avx2);
        }
        if !sets.contains(&Self::detect()) {
            sets.push(Self::detect());
        }
        sets
    }
}

#[cfg(target_arch = "x86_64")]
fn best() -> Cpu {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vpopcntdq");
    match (avx2, avx512) {
        (_, true) => Cpu::Avx512,
        (true, false) => Cpu::Avx2,
        (false, false) => Cpu::Baseline,
    }
}

#[cfg(target_arch = "aarch64")]
fn best() -> Cpu {
    if std::arch::is_aarch64_feature_detected!("neon") {
        Cpu::Neon
    } else {
        Cpu::Baseline
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn best() -> Cpu {
    Cpu::Baseline
}

/// Asks for memory `ahead` elements after the first of a slice, within it or not, before it is needed.
///
/// Processors find out by themselves that memory is read from one end to the other, but only within a page. Those
/// other than x86-64 have no stable prefetch, and do well without.
#[inline(always)]
pub fn prefetch<T>(values: &[T], ahead: usize) {
    let address = values.as_ptr().wrapping_add(ahead);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that a program could see, and no address is wrong for it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Defines a function that takes a [`Cpu`] first and runs the body as compiled for it.
///
/// Type parameters go in square brackets: `pub(crate) fn sum[T: Copy](values: &[T]) -> T { … }`.
#[macro_export]
macro_rules! by_cpu {
    ($(#[$doc:meta])* $vis:vis fn $name:ident[$($generic:ident: $bound:path),*]
     ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name<$($generic: $bound),*>(cpu: $crate::Cpu, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn baseline<$($generic: $bound),*>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2<$($generic: $bound),*>($($arg: $ty),*) $(-> $ret)? {
                baseline($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512<$($generic: $bound),*>($($arg: $ty),*) $(-> $ret)? {
                baseline($($arg),*)
            }

            match cpu {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this value exists only where AVX2 was detected.
                $crate::Cpu::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this value exists only where these parts of AVX-512 were detected.
                $crate::Cpu::Avx512 => unsafe { avx512($($arg),*) },
                _ => baseline($($arg),*),
            }
        }
    };
}
