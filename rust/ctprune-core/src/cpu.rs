//! Which instruction set the fast paths use, found once at run time.
//!
//! Plain loops that a compiler can vectorise are written once and compiled for each set
//! ([`by_cpu!`]); only where that is not enough does a module hold hand-written instructions.

/// An instruction set that this program has code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cpu {
    /// Plain code, compiled for what every processor of the target has: SSE2 on x86-64, NEON on aarch64.
    Baseline,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2, and AVX-512 with whole registers of bytes and 16-bit numbers, and permutations of bytes (VBMI).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON, which plain code is compiled for anyway: this is where it is written by hand.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Cpu {
    /// The best set of the processor at hand.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            let is_512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi");
            return if is_512 { Cpu::Avx512 } else { Cpu::Avx2 };
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Cpu::Neon;
        }
        Cpu::Baseline
    }

    /// All sets of the processor at hand, so that tests can compare them.
    #[cfg(test)]
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

/// Asks for memory `ahead` elements after the first of a slice, within it or not, before it is needed.
///
/// Processors find out by themselves that memory is read from one end to the other, but only within a page.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], ahead: usize) {
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
macro_rules! by_cpu {
    ($(#[$doc:meta])* $vis:vis fn $name:ident[$($generic:ident: $bound:path),*]
     ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name<$($generic: $bound),*>(cpu: crate::cpu::Cpu, $($arg: $ty),*) $(-> $ret)? {
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
                crate::cpu::Cpu::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this value exists only where these parts of AVX-512 were detected.
                crate::cpu::Cpu::Avx512 => unsafe { avx512($($arg),*) },
                _ => baseline($($arg),*),
            }
        }
    };
}
pub(crate) use by_cpu;
