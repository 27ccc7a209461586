//! Inverse wavelet transforms (ISO/IEC 15444-1 Annex F).

pub(crate) mod irreversible;
pub(crate) mod reversible;

/// The four bands that make a resolution level, each row by row.
pub(crate) struct Bands<'a, T> {
    /// The level below.
    pub low_low: &'a [T],
    pub high_low: &'a [T],
    pub low_high: &'a [T],
    pub high_high: &'a [T],
}

/// One direction of a level: how many samples, and whether the first one is high pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub low: usize,
    pub high: usize,
    pub high_first: bool,
}

impl Axis {
    /// The samples from `start` to `end`.
    pub fn new(start: u32, end: u32) -> Self {
        let low = end.div_ceil(2) - start.div_ceil(2);
        Axis {
            low: low as usize,
            high: (end - start - low) as usize,
            high_first: start % 2 == 1,
        }
    }

    pub fn len(&self) -> usize {
        self.low + self.high
    }
}

/// Puts low and high pass samples in turns.
#[inline(always)]
pub(crate) fn interleave<T: Copy>(low: &[T], high: &[T], axis: Axis, target: &mut [T]) {
    let (first, second) = if axis.high_first { (high, low) } else { (low, high) };
    let (pairs, last) = target.as_chunks_mut::<2>();
    for ((pair, &first), &second) in pairs.iter_mut().zip(first).zip(second) {
        *pair = [first, second];
    }
    if let ([target], Some(&last)) = (last, first.last()) {
        *target = last;
    }
}
