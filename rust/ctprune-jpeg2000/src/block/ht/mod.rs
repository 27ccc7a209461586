//! HT code-blocks: the cleanup pass (ISO/IEC 15444-15, 7.3).
//!
//! Quads of two by two samples, row by row. What is significant comes from the streams MEL and VLC alone, so it is
//! decoded for a whole row before the magnitudes, whose lengths it gives.

mod bits;
mod codewords;
mod exponents;
mod samples;

use self::bits::{Bits, Mel};
use self::codewords::{FIRST_ROW, OTHER_ROWS, OWN, Quad, codeword_length, context_of_next, significance};
use self::exponents::{BOTH, BOTH_SMALL, residuals};
use self::samples::{Lengths, plain};
use crate::Error;

/// Buffers, kept from block to block.
#[derive(Default)]
pub(crate) struct Buffers {
    magnitudes: Bits,
    codewords: Bits,
    /// The pairs of a row.
    pairs: Vec<Pair>,
    /// Significance of the row's quads, and of those of the row above; a zero in front, and more behind.
    significance: Vec<u8>,
    significance_above: Vec<u8>,
    /// Magnitudes of the samples in the lowest row so far, as in [`samples::Samples`]; a zero in front, and more behind.
    lowest: Vec<u32>,
}

/// Two quads side by side and their residuals; of a last one that stands alone the second is empty.
#[derive(Clone, Copy, Default)]
struct Pair {
    quads: [Quad; 2],
    residuals: [u32; 2],
}

/// Columns of samples that a pair of quads has.
const COLUMNS: usize = 4;

/// What all quads of a block have in common.
#[derive(Clone, Copy)]
struct Block {
    width: usize,
    /// Quads in a row.
    across: usize,
    planes: u32,
    /// Bits that a magnitude may have.
    most_bits: u32,
}

/// Length of a row of samples of a block: whole pairs of quads.
pub(crate) fn stride(width: usize) -> usize {
    width.next_multiple_of(COLUMNS)
}

impl Buffers {
    /// Decodes the cleanup segment `bytes` into doubled `coefficients`, of a block with `planes` bit-planes
    /// below `zero_planes` empty ones. Rows are [`stride`] samples long, and as many as quads have.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        (width, height): (usize, usize),
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
        let across = width.div_ceil(2);
        let pairs = across.div_ceil(2);
        refill(&mut self.pairs, pairs);
        // A pair looks at one quad, and one sample, to either side.
        refill(&mut self.significance, 2 * pairs + 2);
        refill(&mut self.significance_above, 2 * pairs + 2);
        refill(&mut self.lowest, COLUMNS * pairs + 2);
        let block = Block {
            width,
            across,
            planes,
            most_bits: zero_planes + 2,
        };
        self.decode_rows(block, Mel::new(suffix), coefficients)?;
        let below = &coefficients[stride(width) * height..];
        match below.iter().all(|&sample| sample == 0) {
            true => Ok(()),
            false => Err(OUTSIDE),
        }
    }

    fn decode_rows(&mut self, block: Block, mel: Mel<'_>, coefficients: &mut [i32]) -> Result<(), Error> {
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // SAFETY: the processor can.
            return unsafe { self.decode_rows_avx2(block, mel, coefficients) };
        }
        self.decode_rows_with::<false>(block, mel, coefficients)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,lzcnt,bmi1,bmi2")]
    fn decode_rows_avx2(
        &mut self,
        block: Block,
        mel: Mel<'_>,
        coefficients: &mut [i32],
    ) -> Result<(), Error> {
        self.decode_rows_with::<true>(block, mel, coefficients)
    }

    #[inline(always)]
    fn decode_rows_with<const AVX2: bool>(
        &mut self,
        block: Block,
        mut mel: Mel<'_>,
        coefficients: &mut [i32],
    ) -> Result<(), Error> {
        let (mut codeword_at, mut magnitude_at) = (0, 0);
        for (index, rows) in coefficients.chunks_exact_mut(2 * stride(block.width)).enumerate() {
            std::mem::swap(&mut self.significance, &mut self.significance_above);
            codeword_at = match index {
                0 => self.read_quads::<true>(block.across, &mut mel, codeword_at),
                _ => self.read_quads::<false>(block.across, &mut mel, codeword_at),
            };
            magnitude_at = self.read_magnitudes::<AVX2>(rows, block, magnitude_at)?;
            // Some bits at the end may be left out, but no more than a few.
            if !self.codewords.reaches(codeword_at, 64) || !self.magnitudes.reaches(magnitude_at, 64) {
                return Err(Error::Malformed("an HT segment that ends too early"));
            }
        }
        Ok(())
    }

    /// A row of quads from bit `at` of VLC on; returns where the next one begins.
    #[inline(always)]
    fn read_quads<const FIRST: bool>(&mut self, across: usize, mel: &mut Mel<'_>, mut at: usize) -> usize {
        let table = if FIRST { &FIRST_ROW } else { &OTHER_ROWS };
        let mut left = 0;
        let aboves = self.significance_above.windows(4).step_by(2);
        let own = self.significance[1..].as_chunks_mut::<2>().0;
        for (index, ((pair, above), own)) in self.pairs.iter_mut().zip(aboves).zip(own).enumerate() {
            let mut bits = self.codewords.peek(at);
            let mut taken = 0;
            let mut quad = |context: u32| {
                if context == 0 && !mel.event() {
                    return 0;
                }
                let quad = table[(context | bits as u32 & 127) as usize];
                bits >>= codeword_length(quad);
                taken += codeword_length(quad);
                quad
            };
            let [above_first, above_second] = match above.first_chunk() {
                Some(&four) if !FIRST => contexts_from_above(four),
                _ => [0; 2],
            };
            let first = quad(left | above_first);
            let second = match 2 * index + 1 < across {
                true => quad(context_of_next(first) | above_second),
                false => 0,
            };
            left = context_of_next(second);
            let (kind, more) = match (first >> 12 & 1 | second >> 11 & 2) as usize {
                BOTH if FIRST && mel.event() => (BOTH, 2),
                BOTH if FIRST => (BOTH_SMALL, 0),
                kind => (kind, 0),
            };
            let (values, count) = residuals(kind, bits);
            *pair = Pair {
                quads: [first & OWN, second & OWN],
                residuals: values.map(|value| value + more),
            };
            *own = pair.quads.map(|quad| significance(quad) as u8);
            at += taken + count;
        }
        at
    }

    /// The samples of a row of quads, from bit `at` of MagSgn on; returns where the next ones begin.
    #[inline(always)]
    fn read_magnitudes<const AVX2: bool>(
        &mut self,
        rows: &mut [i32],
        block: Block,
        mut at: usize,
    ) -> Result<usize, Error> {
        let (upper, lower) = rows.split_at_mut(rows.len() / 2);
        let (uppers, lowers) = (
            upper.as_chunks_mut::<COLUMNS>().0,
            lower.as_chunks_mut::<COLUMNS>().0,
        );
        // What lies above and to the left is overwritten already.
        let mut before = 0;
        for (index, ((pair, upper), lower)) in self.pairs.iter().zip(uppers).zip(lowers).enumerate() {
            let Some(lowest) = self.lowest[COLUMNS * index + 1..].first_chunk_mut::<5>() else {
                break;
            };
            let [a, b, c, d, after] = *lowest;
            let above = [before | a | b | c, b | c | d | after];
            before = d;
            let most = [0, 1].map(|n| most_bits(pair.quads[n], pair.residuals[n], above[n]));
            if most[0].max(most[1]) > block.most_bits {
                return Err(Error::Malformed("a magnitude beyond the bit-planes of its block"));
            }
            let lengths = Lengths::new(pair.quads, most);
            let samples = match most[0] | most[1] {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: only code compiled for AVX2 asks for it.
                0..=Lengths::MOST_IN_BYTES if AVX2 => unsafe {
                    samples::avx2(&self.magnitudes, at, pair.quads, lengths, block.planes)
                },
                _ => plain(&self.magnitudes, at, pair.quads, lengths, block.planes),
            };
            at += lengths.sum();
            [*upper, *lower] = samples.doubled;
            lowest[..COLUMNS].copy_from_slice(&samples.magnitudes);
        }
        let outside = upper[block.width..].iter().chain(&lower[block.width..]);
        match outside.fold(0, |any, sample| any | sample) {
            0 => Ok(at),
            _ => Err(OUTSIDE),
        }
    }
}

const OUTSIDE: Error = Error::Malformed("a sample outside of its block");

/// Whether the processor can run what is compiled for AVX2 here.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

fn refill<T: Clone + Default>(buffer: &mut Vec<T>, count: usize) {
    buffer.clear();
    buffer.resize(count, T::default());
}

/// What the quads above add to the contexts of a pair, from bit 7: of each the samples above and to the left, and those
/// above and to the right. `above` are the quads over the pair and one on either side.
#[inline(always)]
fn contexts_from_above(above: [u8; 4]) -> [u32; 2] {
    let above = u32::from_le_bytes(above);
    // Lower right sample of a quad, or lower left one of the next.
    let between = above >> 3 | above >> 9;
    let [left, middle, right] = [0, 8, 16].map(|shift| between >> shift & 1);
    [left << 7 | middle << 9, middle << 7 | right << 9]
}

/// Bits that the samples of a quad have at most; `above` are the magnitudes in the row above it, one to either side too.
#[inline(always)]
fn most_bits(quad: Quad, residual: u32, above: u32) -> u32 {
    let significant = significance(quad);
    // Where several samples are significant, they are about as large as those above.
    let several = significant & significant.wrapping_sub(1) != 0;
    let predicted = if several {
        (32 - above.leading_zeros()).max(2) - 1
    } else {
        1
    };
    if significant == 0 { 0 } else { predicted + residual }
}
