//! Sequential DCT (annex F) of 12 bits: blocks of 8 × 8 coefficients, one after the other.

use super::super::bits::{BitReader, Interval};
use super::huffman::Table;
use super::idct::inverse;
use super::lossless::skip_restart;
use super::segments::Segments;
use crate::error::ReadError;

/// Index in the block of each coefficient in the order of the stream (figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Decodes the scan into `target`, which has `rows × columns` samples.
pub(crate) fn decode(segments: &Segments<'_>, target: &mut [u16]) -> Result<(), ReadError> {
    let &Segments { rows, columns, .. } = segments;
    let missing = || ReadError::Missing("a Huffman table of the JPEG scan");
    let (dc, ac) = (
        segments.dc.as_ref().ok_or_else(missing)?,
        segments.ac.as_ref().ok_or_else(missing)?,
    );
    // A scan of one component has its blocks row by row, whatever the sampling factors (A.2.2).
    let (across, down) = (columns.div_ceil(8), rows.div_ceil(8));
    let per_interval = if segments.restart_interval == 0 {
        across * down
    } else {
        segments.restart_interval
    };
    let mut coded = segments.coded;
    let mut interval = Interval::with_capacity(0);
    let mut block = 0;
    while block < across * down {
        coded = interval.read(skip_restart(coded));
        let mut reader = interval.reader();
        let mut last_dc = 0;
        for _ in 0..per_interval.min(across * down - block) {
            let coefficients = coefficients(&mut reader, dc, ac, &mut last_dc, &segments.quantization);
            let coefficients = coefficients.ok_or(ReadError::Invalid(
                "the JPEG data holds a code that its table lacks",
            ))?;
            let corner = (8 * (block / across), 8 * (block % across));
            put(&inverse(&coefficients), corner, target, columns);
            block += 1;
        }
        if reader.is_exhausted() {
            return Err(ReadError::Truncated("the JPEG data"));
        }
    }
    Ok(())
}

/// The dequantized coefficients of the next block (F.2.2), in rows.
fn coefficients(
    reader: &mut BitReader<'_>,
    dc: &Table,
    ac: &Table,
    last_dc: &mut i32,
    quantization: &[u16; 64],
) -> Option<[i32; 64]> {
    let mut block = [0; 64];
    reader.refill();
    *last_dc = last_dc.wrapping_add(dc.number(reader)?);
    block[0] = last_dc.wrapping_mul(i32::from(quantization[0]));
    let mut k = 1;
    while k < 64 {
        reader.refill();
        match ac.run_and_number(reader)? {
            // Sixteen zeros; end of block, for which libjpeg takes the other codes without a number, too.
            (0xF0, _) => k += 16,
            (symbol, _) if symbol & 15 == 0 => break,
            (symbol, number) => {
                k += usize::from(symbol >> 4);
                let index = *ZIGZAG.get(k)?;
                block[usize::from(index)] = number * i32::from(quantization[k]);
                k += 1;
            }
        }
    }
    Some(block)
}

/// Writes a block at row and column, leaving out what lies beyond the right and lower edge.
fn put(samples: &[u16; 64], (row, column): (usize, usize), target: &mut [u16], columns: usize) {
    let lines = target.chunks_exact_mut(columns).skip(row);
    for (line, samples) in lines.zip(samples.as_chunks::<8>().0) {
        line[column..]
            .iter_mut()
            .zip(samples)
            .for_each(|(out, &sample)| *out = sample);
    }
}
