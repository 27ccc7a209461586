//! Frames that the round-trip tests of every encoder share.

use super::{Frame, Samples};

const SHAPES: [(usize, usize); 6] = [(1, 1), (1, 300), (7, 1), (3, 5), (16, 129), (33, 64)];

/// Calls `check` with flat, smooth, noisy and extreme frames of several shapes and bit depths.
pub fn for_each(mut check: impl FnMut(&Frame<'_>)) {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for (rows, columns) in SHAPES {
        for bits_stored in [2, 8, 10, 12, 15, 16] {
            for pattern in 0..4 {
                let words: Vec<u16> = (0..rows * columns)
                    .map(|i| pixel(pattern, i, &mut state) & (u16::MAX >> (16 - bits_stored)))
                    .collect();
                check(&Frame::new(rows, columns, bits_stored, Samples::U16(&words)).unwrap());
                if bits_stored <= 8 {
                    let bytes: Vec<u8> = words.iter().map(|&word| word as u8).collect();
                    check(&Frame::new(rows, columns, bits_stored, Samples::U8(&bytes)).unwrap());
                }
            }
        }
    }
}

fn pixel(pattern: u8, index: usize, state: &mut u64) -> u16 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let random = (*state >> 48) as u16;
    match pattern {
        0 => 7,
        1 => (index / 3) as u16,
        2 => random,
        // 0 and the maximum in turn: the largest differences there are.
        _ => 0u16.wrapping_sub(random & 1),
    }
}
