//! The similarity of one row with another, one pair at a time: for walks that cannot know beforehand which they need.
//!
//! A sum is taken in [`LANES`] parts that are added up at the end, so its last digit may differ from that of
//! [`super::similarity`]; it is the same under every instruction set.

use super::estimate::Directions;
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

impl<'a> Measured<'a> {
    /// Takes the length of each row.
    pub fn new(embeddings: Embeddings<'a>) -> Self {
        use rayon::prelude::*;
        let cpu = Cpu::detect();
        let lengths = (0..embeddings.len()).into_par_iter().map(|row| {
            let halves = halves(embeddings, row);
            dot(cpu, halves, halves).sqrt()
        });
        Self {
            lengths: lengths.collect(),
            embeddings,
            cpu,
        }
    }

    /// Numbers of one row.
    pub fn features(&self) -> usize {
        self.embeddings.features
    }

    /// Cosine similarity of two rows; 0 where one has no length.
    pub fn similarity(&self, a: usize, b: usize) -> f32 {
        self.similarity_to(a, self, b)
    }

    /// The same of a row and one of other embeddings, of as many features.
    pub fn similarity_to(&self, row: usize, others: &Measured<'_>, other: usize) -> f32 {
        let dot = dot(
            self.cpu,
            halves(self.embeddings, row),
            halves(others.embeddings, other),
        );
        cosine(dot, self.lengths[row], others.lengths[other])
    }

    /// Adds the direction of a row.
    pub fn push(&self, directions: &mut Directions, row: usize) {
        let halves = halves(self.embeddings, row);
        directions.push(|numbers| scaled(self.cpu, halves, scale_of(self.lengths[row]), numbers));
    }
}

/// What a row of this length is multiplied by so that it has length 1; 0 for a row without length.
pub(crate) fn scale_of(length: f64) -> f64 {
    if length > 0.0 { 1.0 / length } else { 0.0 }
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
    /// The numbers of a row, each multiplied by `scale`.
    pub(crate) fn scaled[](halves: &[f16], scale: f64, out: &mut [f32]) {
        for (out, &half) in out.iter_mut().zip(halves) {
            *out = (f64::from(widened(half)) * scale) as f32;
        }
    }
}

by_cpu! {
    /// The square of the length, summed in [`LANES`] parts.
    pub(crate) fn square[](halves: &[f16]) -> f64 {
        summed(halves, halves, widened)
    }
}

by_cpu! {
    fn dot[](a: &[f16], b: &[f16]) -> f64 {
        summed(a, b, widened)
    }
}

by_cpu! {
    /// The product of two vectors, summed in [`LANES`] parts.
    pub(crate) fn product[](a: &[f32], b: &[f32]) -> f64 {
        summed(a, b, |number| number)
    }
}

#[inline(always)]
fn summed<T: Copy>(a: &[T], b: &[T], number: impl Fn(T) -> f32) -> f64 {
    let mut sums = [0.0; LANES];
    let ((a, rest_of_a), (b, rest_of_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(number(a)) * f64::from(number(b));
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(rest_of_a).zip(rest_of_b) {
        *sum += f64::from(number(a)) * f64::from(number(b));
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
            let numbers: Vec<f16> = halves.iter().rev().copied().collect();
            let found: Vec<u64> = Cpu::available()
                .into_iter()
                .map(|cpu| dot(cpu, &numbers, &halves).to_bits())
                .collect();
            assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{features}");
            let plain: f64 = numbers
                .iter()
                .zip(&halves)
                .map(|(a, b)| a.to_f64() * b.to_f64())
                .sum();
            assert!((f64::from_bits(found[0]) - plain).abs() < 1e-9);
            let unit = |cpu| {
                let mut unit = vec![0.0; features];
                scaled(cpu, &halves, scale_of(square(cpu, &halves).sqrt()), &mut unit);
                (product(cpu, &unit, &unit).to_bits(), unit)
            };
            let found: Vec<_> = Cpu::available().into_iter().map(unit).collect();
            assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{features}");
            assert!((f64::from_bits(found[0].0) - 1.0).abs() < 1e-6);
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
            assert!((measured.similarity(a, b) - expected).abs() < 1e-6);
        }
    }
}
