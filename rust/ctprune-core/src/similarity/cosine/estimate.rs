//! Cosine similarities of many directions with many others, in single precision and to within a known [`error`]:
//! enough to decide nearly every comparison, so that only the others need the exact similarity.
//!
//! A tile of 4 × 3 sums stays in registers: each number that is loaded takes part in several products. Which
//! instructions add them up does not matter, as nothing but the error is relied on.

use ctprune_cpu::Cpu;

/// Numbers of a direction are filled up with zeros to a multiple of this.
const STRIDE: usize = 16;

/// Rows that stay in the first cache while all columns pass.
const BLOCK: usize = 16;

/// Rows and columns of a tile.
const TALL: usize = 4;
const WIDE: usize = 3;

/// Vectors of length 1 (or 0), one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Directions {
    features: usize,
    stride: usize,
    numbers: Vec<f32>,
}

impl Directions {
    /// None yet, of this many features.
    pub fn new(features: usize) -> Self {
        Self {
            features,
            stride: features.next_multiple_of(STRIDE),
            numbers: Vec::new(),
        }
    }

    /// Number of directions.
    pub fn len(&self) -> usize {
        self.numbers.len() / self.stride
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.numbers.clear();
    }

    /// Adds one, which `write` puts into zeros.
    pub fn push(&mut self, write: impl FnOnce(&mut [f32])) {
        let start = self.numbers.len();
        self.numbers.resize(start + self.stride, 0.0);
        write(&mut self.numbers[start..][..self.features]);
    }

    /// Adds some of another collection.
    pub fn push_from(&mut self, other: &Self, index: usize) {
        self.numbers.extend_from_slice(other.padded(index));
    }

    /// The numbers of one.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.numbers[index * self.stride..][..self.features]
    }

    #[inline(always)]
    fn chunks<const N: usize>(&self, index: u32) -> &[[f32; N]] {
        self.padded(index as usize).as_chunks().0
    }

    #[inline(always)]
    fn padded(&self, index: usize) -> &[f32] {
        &self.numbers[index * self.stride..][..self.stride]
    }
}

/// No estimate is farther than this from the similarity of the two directions, nor from that rounded to `f32`.
///
/// A sum of `features / 8` products in a row and of the eight parts is off by at most as many roundings of 2⁻²⁴; the
/// rest is for the numbers themselves, which are rounded as well.
pub(crate) fn error(features: usize) -> f32 {
    let roundings = features.next_multiple_of(STRIDE) / 8 + 20;
    1.1 * roundings as f32 / 16_777_216.0
}

/// The similarity of each of these rows with each of these columns, row by row.
pub(crate) fn estimates(
    rows: &Directions,
    which: &[u32],
    columns: &Directions,
    of: &[u32],
    out: &mut Vec<f32>,
) {
    debug_assert_eq!(rows.features, columns.features);
    out.clear();
    out.resize(which.len() * of.len(), 0.0);
    let products = Products {
        rows,
        which,
        columns,
        of,
    };
    products.on(Cpu::detect(), out);
}

struct Products<'a> {
    rows: &'a Directions,
    which: &'a [u32],
    columns: &'a Directions,
    of: &'a [u32],
}

impl Products<'_> {
    fn on(&self, cpu: Cpu, out: &mut [f32]) {
        match cpu {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: these values exist only where AVX2 and FMA, or AVX-512, were detected.
            Cpu::Avx2 => unsafe { x86::avx2(self, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Cpu::Avx512 => unsafe { x86::avx512(self, out) },
            _ => self.run::<[f32; 8], 8>(out),
        }
    }

    #[inline(always)]
    fn run<V: Lanes<N>, const N: usize>(&self, out: &mut [f32]) {
        let width = self.of.len();
        let last = self.which.len().wrapping_sub(1);
        let row = |at: usize| self.rows.chunks::<N>(self.which[at.min(last)]);
        let column = |at: usize| self.columns.chunks::<N>(self.of[at]);
        for block in (0..self.which.len()).step_by(BLOCK) {
            let end = self.which.len().min(block + BLOCK);
            let mut first = 0;
            while first < width {
                let wide = if first + WIDE <= width { WIDE } else { 1 };
                for top in (block..end).step_by(TALL) {
                    let rows = [row(top), row(top + 1), row(top + 2), row(top + 3)];
                    let tall = TALL.min(end - top);
                    let out = &mut out[top * width + first..];
                    if wide == WIDE {
                        let columns = [column(first), column(first + 1), column(first + 2)];
                        write(&tile::<V, N>(rows, columns), tall, width, out);
                    } else {
                        write(&tile_of_one::<V, N>(rows, column(first)), tall, width, out);
                    }
                }
                first += wide;
            }
        }
    }
}

#[inline(always)]
fn write(sums: &[[f32; TALL]], tall: usize, width: usize, out: &mut [f32]) {
    for (column, sums) in sums.iter().enumerate() {
        for (row, &sum) in sums.iter().enumerate().take(tall) {
            out[row * width + column] = sum;
        }
    }
}

/// Sums of the products of four rows with a column. Each is written out, as only then all stay in registers.
#[derive(Clone, Copy)]
struct Sums<V>(V, V, V, V);

impl<V> Sums<V> {
    #[inline(always)]
    fn zero<const N: usize>() -> Self
    where
        V: Lanes<N>,
    {
        Self(V::zero(), V::zero(), V::zero(), V::zero())
    }

    #[inline(always)]
    fn add<const N: usize>(&mut self, rows: (V, V, V, V), column: V)
    where
        V: Lanes<N>,
    {
        self.0 = self.0.add_product(rows.0, column);
        self.1 = self.1.add_product(rows.1, column);
        self.2 = self.2.add_product(rows.2, column);
        self.3 = self.3.add_product(rows.3, column);
    }

    #[inline(always)]
    fn sum<const N: usize>(self) -> [f32; TALL]
    where
        V: Lanes<N>,
    {
        [self.0.sum(), self.1.sum(), self.2.sum(), self.3.sum()]
    }
}

#[inline(always)]
fn tile<V: Lanes<N>, const N: usize>(
    [a, b, c, d]: [&[[f32; N]]; TALL],
    [x, y, z]: [&[[f32; N]]; WIDE],
) -> [[f32; TALL]; WIDE] {
    let mut sums = (Sums::zero(), Sums::zero(), Sums::zero());
    let rows = a.iter().zip(b).zip(c).zip(d);
    for ((((((a, b), c), d), x), y), z) in rows.zip(x).zip(y).zip(z) {
        let rows = (V::load(a), V::load(b), V::load(c), V::load(d));
        sums.0.add(rows, V::load(x));
        sums.1.add(rows, V::load(y));
        sums.2.add(rows, V::load(z));
    }
    [sums.0.sum(), sums.1.sum(), sums.2.sum()]
}

#[inline(always)]
fn tile_of_one<V: Lanes<N>, const N: usize>(
    [a, b, c, d]: [&[[f32; N]]; TALL],
    x: &[[f32; N]],
) -> [[f32; TALL]; 1] {
    let mut sums = Sums::zero();
    for ((((a, b), c), d), x) in a.iter().zip(b).zip(c).zip(d).zip(x) {
        sums.add((V::load(a), V::load(b), V::load(c), V::load(d)), V::load(x));
    }
    [sums.sum()]
}

/// Numbers side by side.
trait Lanes<const N: usize>: Copy {
    fn zero() -> Self;
    fn load(numbers: &[f32; N]) -> Self;
    fn add_product(self, a: Self, b: Self) -> Self;
    fn sum(self) -> f32;
}

impl<const N: usize> Lanes<N> for [f32; N] {
    #[inline(always)]
    fn zero() -> Self {
        [0.0; N]
    }

    #[inline(always)]
    fn load(numbers: &[f32; N]) -> Self {
        *numbers
    }

    #[inline(always)]
    fn add_product(mut self, a: Self, b: Self) -> Self {
        for ((sum, a), b) in self.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
        self
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let mut total = 0.0;
        for number in self {
            total += number;
        }
        total
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Products};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(products: &Products<'_>, out: &mut [f32]) {
        products.run::<Avx2, 8>(out);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    pub(super) fn avx512(products: &Products<'_>, out: &mut [f32]) {
        products.run::<Avx512, 16>(out);
    }

    /// Eight numbers. Private: reached through [`avx2`] only.
    #[derive(Clone, Copy)]
    struct Avx2(__m256);

    impl Lanes<8> for Avx2 {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: `Avx2` is used inside `avx2` alone, hence on a processor that has it and FMA.
            Self(unsafe { _mm256_setzero_ps() })
        }

        #[inline(always)]
        fn load(numbers: &[f32; 8]) -> Self {
            // SAFETY: as above; the load reads the array.
            Self(unsafe { _mm256_loadu_ps(numbers.as_ptr()) })
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: as above.
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
    }

    /// Sixteen numbers. Private: reached through [`avx512`] only.
    #[derive(Clone, Copy)]
    struct Avx512(__m512);

    impl Lanes<16> for Avx512 {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: `Avx512` is used inside `avx512` alone, hence on a processor that has it.
            Self(unsafe { _mm512_setzero_ps() })
        }

        #[inline(always)]
        fn load(numbers: &[f32; 16]) -> Self {
            // SAFETY: as above; the load reads the array.
            Self(unsafe { _mm512_loadu_ps(numbers.as_ptr()) })
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: as above.
            unsafe { _mm512_reduce_add_ps(self.0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directions(count: usize, features: usize, seed: u32) -> Directions {
        let mut state = seed;
        let mut directions = Directions::new(features);
        for row in 0..count {
            directions.push(|numbers| {
                for number in numbers.iter_mut() {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *number = (state >> 8) as f32 / 8_388_608.0 - 1.0;
                }
                let length = numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                for number in numbers {
                    *number = if row == 2 {
                        0.0
                    } else {
                        (f64::from(*number) / length) as f32
                    };
                }
            });
        }
        directions
    }

    #[test]
    fn estimates_are_as_close_as_they_say_under_every_instruction_set() {
        for (rows, columns, features) in [(1, 1, 1), (3, 5, 7), (21, 10, 64), (40, 33, 385)] {
            let (a, b) = (directions(rows, features, 1), directions(columns, features, 2));
            let which: Vec<u32> = (0..rows as u32).rev().step_by(2).collect();
            let of: Vec<u32> = (0..columns as u32).filter(|at| at % 5 != 1).collect();
            for cpu in Cpu::available() {
                let products = Products {
                    rows: &a,
                    which: &which,
                    columns: &b,
                    of: &of,
                };
                let mut out = vec![f32::NAN; which.len() * of.len()];
                products.on(cpu, &mut out);
                for (&row, out) in which.iter().zip(out.chunks(of.len())) {
                    for (&column, &found) in of.iter().zip(out) {
                        let pairs = a.row(row as usize).iter().zip(b.row(column as usize));
                        let exact: f64 = pairs.map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
                        assert!(
                            (f64::from(found) - exact).abs() < f64::from(error(features)),
                            "{cpu:?}"
                        );
                    }
                }
            }
        }
    }
}
