//! Hamming distances of fingerprints, one by one, pair by pair and all to all.

mod error;
pub(crate) mod lanes;

pub use error::FingerprintError;

use lanes::{Lanes, Task};
use rayon::prelude::*;

/// Most words of one fingerprint: 16 × 64 = 1024 bits.
pub const MAX_WORDS: usize = 16;

/// Fingerprints of equal length, one after the other.
///
/// Each takes `words` consecutive `u64`; bits beyond the hash length are zero in all of them, so that
/// they never count.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprints<'a> {
    words: usize,
    data: &'a [u64],
}

impl<'a> Fingerprints<'a> {
    /// Takes `data` as fingerprints of `words` words each.
    ///
    /// Refuses 0 words, more than [`MAX_WORDS`], and data that ends inside a fingerprint.
    ///
    /// ```
    /// use ctprune_core::similarity::hamming::Fingerprints;
    /// let fingerprints = Fingerprints::new(1, &[0b0011, 0b0110])?;
    /// assert_eq!(fingerprints.distance(0, 1), 2);
    /// # Ok::<(), ctprune_core::similarity::hamming::FingerprintError>(())
    /// ```
    pub fn new(words: usize, data: &'a [u64]) -> Result<Self, FingerprintError> {
        if words == 0 || words > MAX_WORDS || !data.len().is_multiple_of(words) {
            return Err(FingerprintError::Shape {
                words,
                found: data.len(),
            });
        }
        Ok(Fingerprints { words, data })
    }

    /// Number of fingerprints.
    pub fn len(&self) -> usize {
        self.data.len() / self.words
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Words of one fingerprint.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Bits of one fingerprint, the largest possible distance.
    pub fn bits(&self) -> u32 {
        self.words as u32 * u64::BITS
    }

    /// The words of fingerprint `row`.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &'a [u64] {
        &self.data[row * self.words..][..self.words]
    }

    /// Hamming distance of fingerprints `a` and `b`.
    #[inline(always)]
    pub fn distance(&self, a: usize, b: usize) -> u32 {
        distance(self.row(a), self.row(b))
    }

    /// The fingerprints from `start` to before `end`.
    pub fn range(&self, start: usize, end: usize) -> Fingerprints<'a> {
        Fingerprints {
            words: self.words,
            data: &self.data[start * self.words..end * self.words],
        }
    }
}

/// Number of bits in which two fingerprints of the same length differ.
#[inline(always)]
pub fn distance(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(x, y)| (x ^ y).count_ones()).sum()
}

/// Writes the distance of the i-th of `a` and the i-th of `b` to `out[i]`.
///
/// Refuses sets that differ in number or words, and an `out` of another length.
pub fn pairwise(a: Fingerprints<'_>, b: Fingerprints<'_>, out: &mut [u16]) -> Result<(), FingerprintError> {
    check_words(a, b)?;
    check_len("second fingerprints", a.len(), b.len())?;
    check_len("distances", a.len(), out.len())?;
    let part = 1 << 14;
    out.par_chunks_mut(part).enumerate().for_each(|(i, out)| {
        let (start, end) = (i * part, i * part + out.len());
        lanes::dispatch(Pairs {
            a: a.range(start, end),
            b: b.range(start, end),
            out,
        });
    });
    Ok(())
}

/// Writes the distance of the i-th of `a` and the j-th of `b` to `out[i × b.len() + j]`, in parallel.
///
/// Refuses sets that differ in words, and an `out` of another length.
pub fn all_to_all(a: Fingerprints<'_>, b: Fingerprints<'_>, out: &mut [u16]) -> Result<(), FingerprintError> {
    check_words(a, b)?;
    check_len("distances", a.len() * b.len(), out.len())?;
    if b.is_empty() {
        return Ok(());
    }
    // Rows of one task: enough work to be worth sending to another thread.
    let rows = (1 << 16) / b.len() + 1;
    out.par_chunks_mut(rows * b.len())
        .enumerate()
        .for_each(|(i, out)| {
            let start = i * rows;
            lanes::dispatch(Matrix {
                a: a.range(start, start + out.len() / b.len()),
                b,
                out,
            });
        });
    Ok(())
}

fn check_words(a: Fingerprints<'_>, b: Fingerprints<'_>) -> Result<(), FingerprintError> {
    check_len("words of a fingerprint", a.words, b.words)
}

fn check_len(what: &'static str, expected: usize, found: usize) -> Result<(), FingerprintError> {
    if expected == found {
        Ok(())
    } else {
        Err(FingerprintError::Length {
            what,
            expected,
            found,
        })
    }
}

struct Pairs<'a> {
    a: Fingerprints<'a>,
    b: Fingerprints<'a>,
    out: &'a mut [u16],
}

impl Task for Pairs<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let words = self.a.words;
        let rows = self
            .a
            .data
            .chunks_exact(words)
            .zip(self.b.data.chunks_exact(words));
        for (out, (a, b)) in self.out.iter_mut().zip(rows) {
            *out = distance(a, b) as u16;
        }
    }
}

struct Matrix<'a> {
    a: Fingerprints<'a>,
    b: Fingerprints<'a>,
    out: &'a mut [u16],
}

impl Task for Matrix<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        // The usual lengths get loops of their own, which the compiler turns into vector code.
        match self.a.words {
            1 => matrix::<1>(self),
            4 => matrix::<4>(self),
            _ => matrix_of_any_length(self),
        }
    }
}

/// Columns of one block: 1024 fingerprints of 4 words take 32 KiB, about a first-level cache.
const BLOCK: usize = 1024;

#[inline(always)]
fn matrix<const WORDS: usize>(task: Matrix<'_>) {
    let columns = task.b.len();
    let (a, _) = task.a.data.as_chunks::<WORDS>();
    let (b, _) = task.b.data.as_chunks::<WORDS>();
    for (block, b) in b.chunks(BLOCK).enumerate() {
        for (a, out) in a.iter().zip(task.out.chunks_exact_mut(columns)) {
            for (out, b) in out[block * BLOCK..].iter_mut().zip(b) {
                *out = (0..WORDS).map(|w| (a[w] ^ b[w]).count_ones()).sum::<u32>() as u16;
            }
        }
    }
}

#[inline(always)]
fn matrix_of_any_length(task: Matrix<'_>) {
    let (words, columns) = (task.a.words, task.b.len());
    for (block, b) in task.b.data.chunks(BLOCK * words).enumerate() {
        for (a, out) in task
            .a
            .data
            .chunks_exact(words)
            .zip(task.out.chunks_exact_mut(columns))
        {
            for (out, b) in out[block * BLOCK..].iter_mut().zip(b.chunks_exact(words)) {
                *out = distance(a, b) as u16;
            }
        }
    }
}
