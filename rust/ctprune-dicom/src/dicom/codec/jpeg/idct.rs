//! The inverse DCT of 12-bit samples, in the integer arithmetic of libjpeg's default ("islow": Loeffler,
//! Ligtenberg and Moschytz, ICASSP 1989), so that decoded pixels equal those of the tools built on it.

/// Fractional bits of the constants.
const CONST_BITS: u32 = 13;

/// Constants of the algorithm, times 2^13.
const FIX_0_298631336: i64 = 2446;
const FIX_0_390180644: i64 = 3196;
const FIX_0_541196100: i64 = 4433;
const FIX_0_765366865: i64 = 6270;
const FIX_0_899976223: i64 = 7373;
const FIX_1_175875602: i64 = 9633;
const FIX_1_501321110: i64 = 12299;
const FIX_1_847759065: i64 = 15137;
const FIX_1_961570560: i64 = 16069;
const FIX_2_053119869: i64 = 16819;
const FIX_2_562915447: i64 = 20995;
const FIX_3_072711026: i64 = 25172;

/// Fractional bits between the passes: 12-bit data leaves room for one.
const PASS_BITS: u32 = 1;
/// Half of the range of samples, and the largest one.
const CENTER: i64 = 1 << 11;
const MAX: i64 = (1 << 12) - 1;

/// Samples of a block from its dequantized coefficients, both in rows, clamped to 12 bits.
pub(crate) fn inverse(coefficients: &[i32; 64]) -> [u16; 64] {
    let mut work = [0i64; 64];
    for column in 0..8 {
        let input = std::array::from_fn(|row| i64::from(coefficients[8 * row + column]));
        let output = pass(input, CONST_BITS - PASS_BITS);
        (0..8).for_each(|row| work[8 * row + column] = output[row]);
    }
    let mut samples = [0; 64];
    for (out, row) in samples
        .as_chunks_mut::<8>()
        .0
        .iter_mut()
        .zip(work.as_chunks::<8>().0)
    {
        let output = pass(*row, CONST_BITS + PASS_BITS + 3);
        (0..8).for_each(|n| out[n] = (output[n] + CENTER).clamp(0, MAX) as u16);
    }
    samples
}

/// One pass over eight values; results are divided by 2^`shift`, rounded.
fn pass(x: [i64; 8], shift: u32) -> [i64; 8] {
    let even = even_part(x[0], x[2], x[4], x[6]);
    let odd = odd_part(x[7], x[5], x[3], x[1]);
    let round = |value: i64| (value + (1 << (shift - 1))) >> shift;
    std::array::from_fn(|n| {
        round(if n < 4 {
            even[n] + odd[n]
        } else {
            even[7 - n] - odd[7 - n]
        })
    })
}

fn even_part(x0: i64, x2: i64, x4: i64, x6: i64) -> [i64; 4] {
    let z = (x2 + x6) * FIX_0_541196100;
    let low = z - x6 * FIX_1_847759065;
    let high = z + x2 * FIX_0_765366865;
    let (sum, difference) = ((x0 + x4) << CONST_BITS, (x0 - x4) << CONST_BITS);
    [sum + high, difference + low, difference - low, sum - high]
}

/// The odd part; the result's entry `n` belongs to outputs `n` and `7 - n`.
fn odd_part(x7: i64, x5: i64, x3: i64, x1: i64) -> [i64; 4] {
    let all = (x7 + x3 + x5 + x1) * FIX_1_175875602;
    let z1 = -(x7 + x1) * FIX_0_899976223;
    let z2 = -(x5 + x3) * FIX_2_562915447;
    let z3 = all - (x7 + x3) * FIX_1_961570560;
    let z4 = all - (x5 + x1) * FIX_0_390180644;
    [
        x1 * FIX_1_501321110 + z1 + z4,
        x3 * FIX_3_072711026 + z2 + z3,
        x5 * FIX_2_053119869 + z2 + z4,
        x7 * FIX_0_298631336 + z1 + z3,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A.3.3, as it is written.
    fn by_definition(coefficients: &[i32; 64]) -> [f64; 64] {
        use std::f64::consts::{FRAC_1_SQRT_2, PI};
        let weight = |n: usize| if n == 0 { FRAC_1_SQRT_2 } else { 1.0 };
        let cosine = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos();
        std::array::from_fn(|at| {
            let (y, x) = (at / 8, at % 8);
            let terms = (0..64).map(|k| {
                let (v, u) = (k / 8, k % 8);
                weight(u) * weight(v) * f64::from(coefficients[k]) * cosine(x, u) * cosine(y, v)
            });
            (terms.sum::<f64>() / 4.0 + 2048.0).clamp(0.0, 4095.0)
        })
    }

    #[test]
    fn the_integer_transform_is_near_the_definition() {
        let mut seed = 1u32;
        for _ in 0..200 {
            let coefficients = std::array::from_fn(|k| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 20) as i32 % (1 << 11) / (1 + k as i32)
            });
            let expected = by_definition(&coefficients);
            let found = inverse(&coefficients);
            assert!(
                found
                    .iter()
                    .zip(expected)
                    .all(|(&f, e)| (f64::from(f) - e).abs() <= 1.0)
            );
        }
    }

    #[test]
    fn extreme_coefficients_are_clamped() {
        assert_eq!(inverse(&[i32::MAX >> 1; 64])[0], 4095);
        assert_eq!(inverse(&[i32::MIN >> 1; 64])[63], 0);
    }
}
