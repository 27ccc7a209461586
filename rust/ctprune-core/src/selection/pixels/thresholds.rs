//! Some of the thresholds of a pass, by their index.

/// Some of the thresholds of a pass, by their index.
#[derive(Clone, Debug)]
pub(super) struct ThresholdSet(Vec<u64>);

impl ThresholdSet {
    /// All of `count` thresholds.
    pub fn all(count: usize) -> Self {
        Self(vec![u64::MAX; count.div_ceil(64)]).below(count)
    }

    /// Those of them before `end`.
    pub fn below(&self, end: usize) -> Self {
        let word = |(at, &word): (usize, &u64)| match end.saturating_sub(64 * at) {
            0 => 0,
            bits if bits >= 64 => word,
            bits => word & ((1 << bits) - 1),
        };
        Self(self.0.iter().enumerate().map(word).collect())
    }

    /// Those in both.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    /// Takes those of `other` out.
    pub fn remove(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    /// Whether there is one.
    pub fn any(&self) -> bool {
        self.first().is_some()
    }

    /// Whether the threshold of this index is one of them.
    pub fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    /// Index of the lowest.
    pub fn first(&self) -> Option<usize> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some(64 * word + self.0[word].trailing_zeros() as usize)
    }
}
