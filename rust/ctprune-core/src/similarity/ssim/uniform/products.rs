//! Sums of products of two slices down the columns of a window: a row comes in below, one leaves above.

use super::layout::SIDE;
use ctprune_cpu::{Cpu, by_cpu};

/// `n`, the number of pixels of a window, by which products are multiplied.
const TIMES: i16 = (SIDE * SIDE) as i16;

/// Adds `n` times the products of a row of two slices to `columns`, and takes off those of another row.
///
/// There may be more columns than pixels in a row.
pub(super) fn slide(cpu: Cpu, columns: &mut [i32], new: [&[u8]; 2], old: [&[u8]; 2]) {
    match cpu {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where these parts of AVX-512 were detected.
        Cpu::Avx512 => unsafe { slide_avx512(columns, new, old) },
        _ => slide_in_loops(cpu, columns, new, old),
    }
}

by_cpu! {
    fn slide_in_loops[](columns: &mut [i32], new: [&[u8]; 2], old: [&[u8]; 2]) {
        let product = |a: u8, b: u8| i32::from(u16::from(a) * u16::from(b));
        let news = new[0].iter().zip(new[1]);
        let olds = old[0].iter().zip(old[1]);
        for ((column, (&a, &b)), (&c, &d)) in columns.iter_mut().zip(news).zip(olds) {
            *column += i32::from(TIMES) * (product(a, b) - product(c, d));
        }
    }
}

/// One instruction puts a pixel beside the one that leaves, and one multiplies both and takes their difference.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
fn slide_avx512(columns: &mut [i32], new: [&[u8]; 2], old: [&[u8]; 2]) {
    use std::arch::x86_64::*;
    const PIXELS: usize = 16;
    // Pixel n of the first row and pixel n of the second as 16 bits each.
    let order: [u8; 4 * PIXELS] = std::array::from_fn(|at| (at / 4 + 64 * (at % 4 / 2)) as u8);
    // SAFETY: there are sixty-four bytes.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    let factors = _mm512_set1_epi32(i32::from(TIMES as u16) | i32::from(-TIMES) << 16);
    let count = [&new[0], &new[1], &old[0], &old[1]].map(|row| row.len());
    let count = count.into_iter().fold(columns.len(), usize::min);
    let (wide_columns, rest) = columns[..count].as_chunks_mut::<PIXELS>();
    let [new_a, new_b, old_a, old_b] =
        [new[0], new[1], old[0], old[1]].map(|row| row[..count].as_chunks::<PIXELS>());
    for (at, columns) in wide_columns.iter_mut().enumerate() {
        let load = |row: &[[u8; PIXELS]]| {
            // SAFETY: sixteen pixels are sixteen bytes.
            _mm512_castsi128_si512(unsafe { _mm_loadu_si128(row[at].as_ptr().cast()) })
        };
        let both =
            |new, old| _mm512_maskz_permutex2var_epi8(0x5555_5555_5555_5555, load(new), order, load(old));
        let (a, b) = (both(new_a.0, old_a.0), both(new_b.0, old_b.0));
        let products = _mm512_madd_epi16(a, _mm512_mullo_epi16(b, factors));
        let target = columns.as_mut_ptr().cast();
        // SAFETY: sixteen columns are sixty-four bytes.
        unsafe { _mm512_storeu_si512(target, _mm512_add_epi32(_mm512_loadu_si512(target), products)) };
    }
    slide_in_loops(Cpu::Avx2, rest, [new_a.1, new_b.1], [old_a.1, old_b.1]);
}

#[cfg(test)]
mod tests {
    use super::slide;
    use ctprune_cpu::Cpu;

    #[test]
    fn every_instruction_set_adds_the_same() {
        for count in [1, 7, 8, 15, 16, 17, 100, 512] {
            let noise = |seed: usize| -> Vec<u8> {
                (0..count).map(|at| 255 - (at * at * seed % 256) as u8).collect()
            };
            let [a, b, c, d] = [1, 37, 101, 3].map(noise);
            let product = |a: u8, b: u8| i32::from(a) * i32::from(b);
            let change = |at: usize| 49 * product(a[at], b[at]) - 49 * product(c[at], d[at]);
            let mut expected: Vec<i32> = (0..count).map(|at| 7 + change(at)).collect();
            expected.extend([7; 3]);
            for cpu in Cpu::available() {
                let mut columns = vec![7; count + 3];
                slide(cpu, &mut columns, [&a, &b], [&c, &d]);
                assert_eq!(columns, expected, "{cpu:?}, {count} columns");
            }
        }
    }
}
