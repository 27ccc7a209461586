//! Exact division in 16-bit integers: `distance × 255 / width`, rounded, halves to even.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;

/// Distances that are divided at a time.
pub(super) const CHUNK: usize = 32;

/// The division of a chunk of distances, by one instruction set.
pub(super) trait Divide: Copy {
    /// Gray values of distances up to the width.
    fn grays(self, distances: &[u16; CHUNK]) -> [u8; CHUNK];
}

/// What the division needs to know of the width, which is 256..=16384.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divider {
    width: i16,
    half: i16,
    /// 1 where the width is even, so that there are halves.
    even: i16,
    /// `255 × 2^15 / width`, cut, less 1.
    reciprocal: i16,
}

impl Divider {
    /// The smallest width whose reciprocal has 16 bits.
    pub const MIN_WIDTH: u16 = 1 << 8;
    /// The largest width for which the proof below holds.
    pub const MAX_WIDTH: u16 = 1 << 14;

    /// Prepares for a width of [`MIN_WIDTH`](Self::MIN_WIDTH)..=[`MAX_WIDTH`](Self::MAX_WIDTH).
    pub fn new(width: u16) -> Self {
        debug_assert!((Self::MIN_WIDTH..=Self::MAX_WIDTH).contains(&width));
        let reciprocal = ((255 << 15) / i32::from(width) - 1) as i16;
        let width = width as i16;
        Self {
            width,
            half: width / 2,
            even: 1 - width % 2,
            reciprocal,
        }
    }

    /// With `t` for the true quotient `distance × 255 / width`, `distance × reciprocal / 2^15` is
    /// `t − δ`, where `0 < δ < 2 × distance / 2^15 ≤ 1` (or all are 0). So `quotient`, which is
    /// `t − δ` rounded, is the answer or one less, and never more, not even at a half. The remainder lies
    /// in `−width / 2 .. 1.5 × width` and so fits. One more is right where the remainder is above half of
    /// the width; the half itself counts as above when the quotient is odd, for up is then even.
    #[inline(always)]
    fn gray(self, distance: u16) -> u8 {
        let product = i32::from(distance) * i32::from(self.reciprocal);
        let quotient = ((product + (1 << 14)) >> 15) as i16;
        // Modulo 2^16, which is enough for the difference.
        let minuend = distance.wrapping_mul(255) as i16;
        let remainder = minuend.wrapping_sub(quotient.wrapping_mul(self.width));
        let up = remainder + (quotient & self.even) > self.half;
        (quotient + i16::from(up)) as u8
    }
}

/// In plain integers, for any processor. A loop and not `map`, which compilers do not inline here.
///
/// On aarch64 they find all but the rounding product. By hand it would save a tenth of the instructions
/// from pixels to fingerprint, which is not worth another version.
impl Divide for Divider {
    #[inline(always)]
    fn grays(self, distances: &[u16; CHUNK]) -> [u8; CHUNK] {
        let mut grays = [0; CHUNK];
        for (gray, &distance) in grays.iter_mut().zip(distances) {
            *gray = self.gray(distance);
        }
        grays
    }
}
