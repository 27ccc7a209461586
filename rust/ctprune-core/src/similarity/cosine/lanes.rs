//! The similarity of one row with many others, one at a time: for walks that cannot know beforehand which they need.
//!
//! A sum is taken in [`LANES`] parts that are added up at the end, so its last digit may differ from that of
//! [`super::similarity`]; it is the same under every instruction set.

use super::{Embeddings, cosine};
use ctprune_cpu::{Cpu, by_cpu};
use half::f16;

/// Partial sums of a product.
const LANES: usize = 16;

/// Embeddings with what a comparison needs of each.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    embeddings: Embeddings<'a>,
    lengths: Vec<f64>,
    cpu: Cpu,
}

/// A row that is held against others.
#[derive(Debug)]
pub(crate) struct Query {
    numbers: Vec<f64>,
    length: f64,
}

impl<'a> Measured<'a> {
    /// Takes the length of each row.
    pub fn new(embeddings: Embeddings<'a>) -> Self {
        use rayon::prelude::*;
        let cpu = Cpu::detect();
        let lengths = (0..embeddings.len()).into_par_iter().map(|row| {
            let halves = halves(embeddings, row);
            let numbers: Vec<f64> = halves.iter().map(|&half| f64::from(widened(half))).collect();
            dot(cpu, &numbers, halves).sqrt()
        });
        Self {
            lengths: lengths.collect(),
            embeddings,
            cpu,
        }
    }

    /// The row as a query.
    pub fn query(&self, row: usize) -> Query {
        let halves = halves(self.embeddings, row);
        Query {
            numbers: halves.iter().map(|&half| f64::from(widened(half))).collect(),
            length: self.lengths[row],
        }
    }

    /// Cosine similarity of a query and a row; 0 where one has no length.
    pub fn similarity(&self, query: &Query, row: usize) -> f32 {
        let dot = dot(self.cpu, &query.numbers, halves(self.embeddings, row));
        cosine(dot, query.length, self.lengths[row])
    }
}

/// The numbers of one embedding.
pub(crate) fn halves<'a>(embeddings: Embeddings<'a>, row: usize) -> &'a [f16] {
    let features = embeddings.features;
    &embeddings.numbers[row * features..][..features]
}

/// The number, in operations that a processor has for many at a time; it must be finite.
#[inline(always)]
pub(crate) fn widened(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    // The exponents of the two formats start 112 apart.
    let scale = f32::from_bits((127 + 112) << 23);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * scale;
    f32::from_bits(magnitude.to_bits() | ((bits & 0x8000) << 16))
}

by_cpu! {
    fn dot[](a: &[f64], b: &[f16]) -> f64 {
        let mut sums = [0.0; LANES];
        let (whole, rest) = b.as_chunks::<LANES>();
        for (a, b) in a.as_chunks::<LANES>().0.iter().zip(whole) {
            for ((sum, a), &b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * f64::from(widened(b));
            }
        }
        for ((sum, a), &b) in sums.iter_mut().zip(&a[b.len() - rest.len()..]).zip(rest) {
            *sum += a * f64::from(widened(b));
        }
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                sums[lane] += sums[lane + width];
            }
        }
        sums[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(widened(half).to_bits(), half.to_f32().to_bits());
            }
        }
    }

    #[test]
    fn instruction_sets_agree() {
        for features in [1, 15, 16, 17, 100] {
            let halves: Vec<f16> = (0..features)
                .map(|at| f16::from_f32((at * 37 % 101) as f32 / 7.0 - 6.0))
                .collect();
            let numbers: Vec<f64> = halves.iter().rev().map(|half| half.to_f64() / 3.0).collect();
            let found: Vec<u64> = Cpu::available()
                .into_iter()
                .map(|cpu| dot(cpu, &numbers, &halves).to_bits())
                .collect();
            assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{features}");
            let plain: f64 = numbers.iter().zip(&halves).map(|(a, b)| a * b.to_f64()).sum();
            assert!((f64::from_bits(found[0]) - plain).abs() < 1e-9);
        }
    }

    #[test]
    fn it_is_the_similarity_but_for_the_last_digit() {
        let halves: Vec<f16> = (0..60)
            .map(|at| f16::from_f32((at * 29 % 53) as f32 - 20.0))
            .collect();
        let embeddings = Embeddings::new(20, &halves).unwrap();
        let measured = Measured::new(embeddings);
        for (a, b) in [(0, 1), (1, 2), (2, 2)] {
            let expected = super::super::similarity(embeddings, a, b);
            assert!((measured.similarity(&measured.query(a), b) - expected).abs() < 1e-6);
        }
    }
}
