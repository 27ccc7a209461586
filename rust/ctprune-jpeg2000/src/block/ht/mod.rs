//! HT code-blocks: the cleanup pass (ISO/IEC 15444-15, 7.3).
//!
//! Quads of two by two samples, row by row. What is significant comes from the streams MEL and VLC alone, so it is
//! decoded for a whole row before the magnitudes, whose lengths it gives.

mod bits;
mod codewords;
mod exponents;
mod samples;

use self::bits::{Bits, Mel};
use self::codewords::{FIRST_ROW, OTHER_ROWS, Quad, Table};
use self::exponents::{Pair, residuals};
use self::samples::Lengths;
use crate::Error;

/// Buffers, kept from block to block.
#[derive(Default)]
pub(crate) struct Buffers {
    magnitudes: Bits,
    codewords: Bits,
    /// The quads of a row, and those of the row above; a zero on either side.
    quads: Vec<Quad>,
    above: Vec<Quad>,
    /// Residuals of the row's quads.
    residuals: Vec<u32>,
    /// Exponents of the samples in the lowest row so far; a zero on either side.
    exponents: Vec<u8>,
}

/// Significance of a quad's samples: upper left, lower left, upper right, lower right from bit 0 on.
fn significance(quad: Quad) -> u32 {
    u32::from(quad >> 8 & 15)
}

impl Buffers {
    /// Decodes the cleanup segment `bytes` into doubled `coefficients`, of a block with `planes` bit-planes
    /// below `zero_planes` empty ones.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        width: usize,
        (planes, zero_planes): (u32, u32),
        coefficients: &mut [i32],
    ) -> Result<(), Error> {
        let &[.., low, high] = bytes else {
            return Err(Error::Malformed("an HT segment of less than two bytes"));
        };
        // How long MEL and VLC are together, is told by their last twelve bits.
        let suffix = usize::from(high) << 4 | usize::from(low & 15);
        if suffix < 2 || suffix > bytes.len() || suffix > 4079 {
            return Err(Error::Malformed("the parts of an HT segment"));
        }
        let (magnitudes, suffix) = bytes.split_at(bytes.len() - suffix);
        let suffix = &suffix[..suffix.len() - 1];
        // A row of two samples a column takes at most 32 bits each.
        self.magnitudes.set_forward(magnitudes, 8 * width + 8);
        self.codewords.set_backward(suffix, 4 * width + 8);
        let mut mel = Mel::new(suffix);
        let across = width.div_ceil(2);
        // Rounded up to pairs, and one on either side.
        let quads = across.next_multiple_of(2) + 2;
        for row in [&mut self.quads, &mut self.above] {
            row.clear();
            row.resize(quads, 0);
        }
        self.residuals.clear();
        self.residuals.resize(quads, 0);
        self.exponents.clear();
        self.exponents.resize(2 * quads, 0);
        let row = Row {
            width,
            planes,
            most_bits: zero_planes + 2,
        };
        let (mut codeword_at, mut magnitude_at) = (0, 0);
        for (index, rows) in coefficients.chunks_mut(2 * width).enumerate() {
            std::mem::swap(&mut self.quads, &mut self.above);
            match index {
                0 => self.read_first_row(across, &mut mel, &mut codeword_at),
                _ => self.read_row(across, &mut mel, &mut codeword_at),
            }
            self.read_magnitudes(rows, row, &mut magnitude_at)?;
            // Some bits at the end may be left out, but no more than a few.
            if !self.codewords.reaches(codeword_at, 64) || !self.magnitudes.reaches(magnitude_at, 64) {
                return Err(Error::Malformed("an HT segment that ends too early"));
            }
        }
        Ok(())
    }

    fn read_first_row(&mut self, across: usize, mel: &mut Mel<'_>, at: &mut usize) {
        let mut left = 0;
        for pair in 0..across.div_ceil(2) {
            let mut bits = Next::new(&self.codewords, *at);
            let mut quads = [0; 2];
            for quad in &mut quads[..(across - 2 * pair).min(2)] {
                // Left quad: either sample of its left column, then those of its right column.
                let context = (left & 1 | left >> 1 & 1) | left >> 1 & 6;
                *quad = bits.quad(&FIRST_ROW, context, mel);
                left = significance(*quad);
            }
            let both = match Pair::of(quads) {
                Pair::Both if mel.event() => (Pair::Both, 2),
                Pair::Both => (Pair::BothSmall, 0),
                pair => (pair, 0),
            };
            let residuals = bits.residuals(both.0);
            self.quads[2 * pair + 1..][..2].copy_from_slice(&quads);
            self.residuals[2 * pair] = residuals[0] + both.1;
            self.residuals[2 * pair + 1] = residuals[1] + both.1;
            *at = bits.at;
        }
    }

    fn read_row(&mut self, across: usize, mel: &mut Mel<'_>, at: &mut usize) {
        let mut left = 0;
        for pair in 0..across.div_ceil(2) {
            let mut bits = Next::new(&self.codewords, *at);
            let mut quads = [0; 2];
            for (n, quad) in quads[..(across - 2 * pair).min(2)].iter_mut().enumerate() {
                let above = &self.above[2 * pair + n..][..3];
                let [before, over, after] = [above[0], above[1], above[2]].map(significance);
                // Above: to the left and just there; to the left of it; above and to the right.
                let context = (before >> 3 & 1 | over >> 1 & 1)
                    | (left >> 2 & 1 | left >> 3 & 1) << 1
                    | (over >> 3 & 1 | after >> 1 & 1) << 2;
                *quad = bits.quad(&OTHER_ROWS, context, mel);
                left = significance(*quad);
            }
            let residuals = bits.residuals(Pair::of(quads));
            self.quads[2 * pair + 1..][..2].copy_from_slice(&quads);
            self.residuals[2 * pair..][..2].copy_from_slice(&residuals);
            *at = bits.at;
        }
    }

    /// The samples of a row of quads.
    fn read_magnitudes(&mut self, rows: &mut [i32], row: Row, at: &mut usize) -> Result<(), Error> {
        #[cfg(target_arch = "x86_64")]
        if samples::has_avx2() {
            // SAFETY: the processor can.
            return unsafe { self.read_magnitudes_avx2(rows, row, at) };
        }
        self.read_magnitudes_with::<false>(rows, row, at)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,lzcnt,bmi1,bmi2")]
    fn read_magnitudes_avx2(&mut self, rows: &mut [i32], row: Row, at: &mut usize) -> Result<(), Error> {
        self.read_magnitudes_with::<true>(rows, row, at)
    }

    #[inline(always)]
    fn read_magnitudes_with<const AVX2: bool>(
        &mut self,
        rows: &mut [i32],
        row: Row,
        at: &mut usize,
    ) -> Result<(), Error> {
        let across = row.width.div_ceil(2);
        let (upper, lower) = rows.split_at_mut(row.width);
        let quads = &self.quads[1..][..across];
        let residuals = &self.residuals[..across];
        // Two for each quad, behind the one that stands for what is left of the block.
        let exponents = &mut self.exponents[1..2 * across + 3];
        let mut next = *at;
        let mut outside = 0;
        let mut largest = 0;
        // The exponent above and to the left, which is overwritten already.
        let mut before = 0;
        for (n, (&quad, &residual)) in quads.iter().zip(residuals).enumerate() {
            let Some(exponents) = exponents[2 * n..].first_chunk_mut::<3>() else {
                break;
            };
            let [over_left, over_right, after] = *exponents;
            let above = before.max(over_left).max(over_right).max(after);
            before = over_right;
            (exponents[0], exponents[1]) = (0, 0);
            let significant = significance(quad);
            if significant == 0 {
                continue;
            }
            // Where several samples are significant, they are about as large as those above.
            let several = significant & (significant - 1) != 0;
            let predicted = if several { u32::from(above).max(2) - 1 } else { 1 };
            let most = predicted + residual;
            largest = largest.max(most);
            if most > row.most_bits {
                break;
            }
            let lengths = Lengths::new(quad, most);
            let samples = match most <= Lengths::MOST_IN_WORD {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: only code compiled for AVX2 asks for it.
                true if AVX2 => unsafe {
                    samples::avx2(self.magnitudes.peek(next), quad, lengths, row.planes)
                },
                true => samples::portable(self.magnitudes.peek(next), quad, lengths, row.planes),
                false => samples::long(&self.magnitudes, next, quad, lengths, row.planes),
            };
            next += lengths.sum();
            (exponents[0], exponents[1]) = (samples.exponents[0], samples.exponents[1]);
            let [upper_left, lower_left, upper_right, lower_right] = samples.doubled;
            let pairs = [
                (&mut *upper, [upper_left, upper_right]),
                (&mut *lower, [lower_left, lower_right]),
            ];
            for (row, pair) in pairs {
                match row.get_mut(2 * n..2 * n + 2) {
                    Some(target) => target.copy_from_slice(&pair),
                    // At the right edge, or in the row below the lowest.
                    None => {
                        outside |= pair[1];
                        match row.get_mut(2 * n) {
                            Some(target) => *target = pair[0],
                            None => outside |= pair[0],
                        }
                    }
                }
            }
        }
        *at = next;
        match (outside, largest <= row.most_bits) {
            (0, true) => Ok(()),
            (0, false) => Err(Error::Malformed("a magnitude beyond the bit-planes of its block")),
            _ => Err(Error::Malformed("a sample outside of its block")),
        }
    }
}

/// What all quads of a row have in common.
#[derive(Clone, Copy)]
struct Row {
    width: usize,
    planes: u32,
    /// Bits that a magnitude may have.
    most_bits: u32,
}

impl Pair {
    fn of(quads: [Quad; 2]) -> Self {
        match quads.map(|quad| quad >> 12 & 1) {
            [0, 0] => Pair::Neither,
            [1, 0] => Pair::First,
            [0, _] => Pair::Second,
            [_, _] => Pair::Both,
        }
    }
}

/// The next bits of VLC, enough for a pair of quads.
struct Next {
    bits: u64,
    at: usize,
}

impl Next {
    #[inline(always)]
    fn new(codewords: &Bits, at: usize) -> Self {
        Next {
            bits: codewords.peek(at),
            at,
        }
    }

    #[inline(always)]
    fn advance(&mut self, count: usize) {
        self.bits >>= count;
        self.at += count;
    }

    #[inline(always)]
    fn quad(&mut self, table: &Table, context: u32, mel: &mut Mel<'_>) -> Quad {
        if context == 0 && !mel.event() {
            return 0;
        }
        let quad = table[(context as usize & 7) << 7 | self.bits as usize & 127];
        self.advance(usize::from(quad >> 13));
        quad & 0x1FFF
    }

    #[inline(always)]
    fn residuals(&mut self, pair: Pair) -> [u32; 2] {
        let (values, count) = residuals(pair, self.bits);
        self.advance(count);
        values
    }
}
