//! HT code-blocks: the cleanup pass (ISO/IEC 15444-15, 7.3).
//!
//! Quads of two by two samples, row by row. What is significant comes from the streams MEL and VLC alone, so it is
//! decoded for a whole row before the magnitudes, whose lengths it gives.

mod bits;
mod codewords;
mod exponents;

use self::bits::{Bits, Mel};
use self::codewords::{FIRST_ROW, OTHER_ROWS, Quad, Table};
use self::exponents::{Pair, residuals};
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
        let (mut codeword_at, mut magnitude_at) = (0, 0);
        for (index, rows) in coefficients.chunks_mut(2 * width).enumerate() {
            std::mem::swap(&mut self.quads, &mut self.above);
            match index {
                0 => self.read_first_row(across, &mut mel, &mut codeword_at),
                _ => self.read_row(across, &mut mel, &mut codeword_at),
            }
            self.read_magnitudes(rows, width, &mut magnitude_at, planes, zero_planes + 2)?;
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
    fn read_magnitudes(
        &mut self,
        rows: &mut [i32],
        width: usize,
        at: &mut usize,
        planes: u32,
        most_bits: u32,
    ) -> Result<(), Error> {
        let (upper, lower) = rows.split_at_mut(width);
        let mut outside = 0;
        let mut largest = 0;
        // Exponents of the row above, of which those behind this quad are overwritten already.
        let mut before = 0;
        for n in 0..width.div_ceil(2) {
            let quad = self.quads[n + 1];
            let significant = significance(quad);
            let exponents = &mut self.exponents[2 * n + 1..][..4];
            // The exponents above: one to the left, two over the quad, one to the right.
            let above = before.max(exponents[0]).max(exponents[1]).max(exponents[2]);
            before = exponents[1];
            exponents[..2].fill(0);
            if significant == 0 {
                continue;
            }
            // Where several samples are significant, they are about as large as those above.
            let several = significant & (significant - 1) != 0;
            let predicted = if several { u32::from(above).max(2) - 1 } else { 1 };
            let most = predicted + self.residuals[n];
            largest = largest.max(most);
            if most > most_bits {
                break;
            }
            let mut values = [0i32; 4];
            let mut lowest = [0u8; 2];
            for (sample, value) in values.iter_mut().enumerate() {
                if significant >> sample & 1 == 0 {
                    continue;
                }
                let bits = self.magnitudes.peek(*at) as u32;
                let count = most - u32::from(quad >> (4 + sample) & 1);
                *at += count as usize;
                let known = u32::from(quad >> sample & 1) << count;
                // Sign in the lowest bit, whose place the half then takes.
                let magnitude = bits & ((1 << count) - 1) | known | 1;
                let doubled = (magnitude.wrapping_add(2) << (planes - 1) & 0x7FFF_FFFF) as i32;
                *value = if bits & 1 == 1 { -doubled } else { doubled };
                if sample % 2 == 1 {
                    lowest[sample / 2] = (32 - magnitude.leading_zeros()) as u8;
                }
            }
            exponents[..2].copy_from_slice(&lowest);
            for (column, pair) in (2 * n..).zip(values.as_chunks::<2>().0) {
                for (row, value) in [&mut *upper, &mut *lower].into_iter().zip(pair) {
                    match row.get_mut(column) {
                        Some(target) => *target = *value,
                        None => outside |= *value,
                    }
                }
            }
        }
        match (outside, largest <= most_bits) {
            (0, true) => Ok(()),
            (0, false) => Err(Error::Malformed("a magnitude beyond the bit-planes of its block")),
            _ => Err(Error::Malformed("a sample outside of its block")),
        }
    }
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
