//! Bytes of one frame → stored values (PS3.5 section 8.1.1): byte order, High Bit, Bits Stored, sign.

use bytemuck::Pod;
use ctprune_core::intensity::extremes::extremes;
use ctprune_core::pixels::Stored;
use ctprune_cpu::Cpu;

use crate::aligned::AlignedBytes;

/// How one sample lies in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub sample: Sample,
    /// The byte order is not this machine's.
    pub swap: bool,
}

/// Type and used bits of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// An integer whose bits from `high_bit` down, `stored` of them, are the value; the others mean nothing
    /// (old files keep overlays there).
    Integer {
        bytes: usize,
        stored: u32,
        high_bit: u32,
        signed: bool,
    },
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
}

impl Sample {
    /// An integer of `8 × bytes` bits whose lowest `stored` bits are the value.
    pub fn low_bits(bytes: usize, stored: u32, signed: bool) -> Self {
        Sample::Integer {
            bytes,
            stored,
            high_bit: stored - 1,
            signed,
        }
    }

    /// Bytes per sample.
    pub fn bytes(self) -> usize {
        match self {
            Sample::Integer { bytes, .. } => bytes,
            Sample::Float => 4,
            Sample::Double => 8,
        }
    }
}

/// Integers that pixels are stored in.
trait Word: Pod + PartialEq + ctprune_core::intensity::extremes::Sample {
    const BITS: u32;
    fn swapped(self) -> Self;
    /// `self << left >> right`: drops what lies above the value, moves it down, extends its sign.
    fn shifted(self, left: u32, right: u32) -> Self;
}

macro_rules! word {
    ($($t:ty),*) => {$(
        impl Word for $t {
            const BITS: u32 = <$t>::BITS;
            fn swapped(self) -> Self {
                self.swap_bytes()
            }
            fn shifted(self, left: u32, right: u32) -> Self {
                self << left >> right
            }
        }
    )*};
}
word!(u8, u16, u32, i8, i16, i32);

/// Stored values, and the smallest and the largest where they were seen.
pub(crate) type Seen<'a> = (Stored<'a>, Option<(f64, f64)>);

/// The stored values of a frame; borrowed from `bytes` where these are already right, else converted into
/// `scratch`. `bytes` holds whole samples, and an integer `layout` has `0 < stored <= high_bit + 1 <= bits`.
pub(crate) fn stored<'a>(bytes: &'a [u8], layout: Layout, scratch: &'a mut AlignedBytes) -> Seen<'a> {
    let swap = layout.swap;
    match layout.sample {
        Sample::Float => (
            Stored::F32(floats(bytes, swap, scratch, f32::from_ne_bytes)),
            None,
        ),
        Sample::Double => (
            Stored::F64(floats(bytes, swap, scratch, f64::from_ne_bytes)),
            None,
        ),
        Sample::Integer {
            bytes: size,
            stored,
            high_bit,
            signed,
        } => {
            let unused = (8 * size as u32 - 1 - high_bit, 8 * size as u32 - stored);
            match (size, signed) {
                (1, false) => words(bytes, unused, swap, scratch, Stored::U8),
                (1, true) => words(bytes, unused, swap, scratch, Stored::I8),
                (2, false) => words(bytes, unused, swap, scratch, Stored::U16),
                (2, true) => words(bytes, unused, swap, scratch, Stored::I16),
                (_, false) => words(bytes, unused, swap, scratch, Stored::U32),
                (_, true) => words(bytes, unused, swap, scratch, Stored::I32),
            }
        }
    }
}

fn words<'a, T: Word>(
    bytes: &'a [u8],
    (left, right): (u32, u32),
    swap: bool,
    scratch: &'a mut AlignedBytes,
    typed: impl Fn(&'a [T]) -> Stored<'a>,
) -> Seen<'a> {
    debug_assert!(left < T::BITS && right < T::BITS);
    if !swap && let Ok(words) = bytemuck::try_cast_slice::<u8, T>(bytes) {
        if right == 0 {
            return (typed(words), None);
        }
        // Nearly all files leave the unused bits as they should be: then all values lie within what the used ones
        // hold. To look costs a fraction of converting, and the extremes are needed anyway.
        if left == right
            && let Some((low, high)) = extremes(Cpu::detect(), words)
            && fits(low, left)
            && fits(high, left)
        {
            return (typed(words), Some((low.to_f64(), high.to_f64())));
        }
    }
    let target: &mut [T] = bytemuck::cast_slice_mut(scratch.take(bytes.len()));
    for (out, sample) in target.iter_mut().zip(bytes.chunks_exact(size_of::<T>())) {
        let word: T = bytemuck::pod_read_unaligned(sample);
        *out = if swap { word.swapped() } else { word }.shifted(left, right);
    }
    (typed(target), None)
}

/// Whether the highest `unused` bits of `word` are as they should be.
fn fits<T: Word>(word: T, unused: u32) -> bool {
    word.shifted(unused, unused) == word
}

fn floats<'a, T: Pod, const N: usize>(
    bytes: &'a [u8],
    swap: bool,
    scratch: &'a mut AlignedBytes,
    from_bytes: fn([u8; N]) -> T,
) -> &'a [T] {
    if !swap && let Ok(floats) = bytemuck::try_cast_slice::<u8, T>(bytes) {
        return floats;
    }
    let target: &mut [T] = bytemuck::cast_slice_mut(scratch.take(bytes.len()));
    for (out, &sample) in target.iter_mut().zip(bytes.as_chunks::<N>().0) {
        let mut sample = sample;
        if swap {
            sample.reverse();
        }
        *out = from_bytes(sample);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], sample: Sample, big_endian: bool) -> Vec<f64> {
        let swap = big_endian != cfg!(target_endian = "big");
        let mut scratch = AlignedBytes::default();
        match stored(bytes, Layout { sample, swap }, &mut scratch).0 {
            Stored::U8(s) => s.iter().map(|&v| f64::from(v)).collect(),
            Stored::I8(s) => s.iter().map(|&v| f64::from(v)).collect(),
            Stored::U16(s) => s.iter().map(|&v| f64::from(v)).collect(),
            Stored::I16(s) => s.iter().map(|&v| f64::from(v)).collect(),
            Stored::U32(s) => s.iter().map(|&v| f64::from(v)).collect(),
            Stored::I32(s) => s.iter().map(|&v| f64::from(v)).collect(),
            Stored::F32(s) => s.iter().map(|&v| f64::from(v)).collect(),
            Stored::F64(s) => s.to_vec(),
        }
    }

    #[test]
    fn overlay_bits_above_the_value_are_dropped() {
        let sample = Sample::low_bits(2, 12, false);
        assert_eq!(read(&[0xFF, 0xF1, 0x01, 0x00], sample, false), [511.0, 1.0]);
    }

    #[test]
    fn the_sign_is_that_of_the_highest_stored_bit() {
        let sample = Sample::low_bits(2, 12, true);
        assert_eq!(read(&[0x18, 0x0C, 0x07, 0x00], sample, false), [-1000.0, 7.0]);
        assert_eq!(read(&[0x80], Sample::low_bits(1, 8, true), false), [-128.0]);
        assert_eq!(read(&[0xFF; 4], Sample::low_bits(4, 32, true), false), [-1.0]);
    }

    #[test]
    fn every_word_is_read_alike_with_and_without_looking() {
        // One sample alone is borrowed or converted as it needs; with a bad one beside it, always converted.
        for stored in 1..=16 {
            for signed in [false, true] {
                let sample = Sample::low_bits(2, stored, signed);
                let bad = 0x5555u16 << 1;
                for word in (0..=u16::MAX).step_by(257) {
                    let alone = read(&word.to_le_bytes(), sample, false);
                    let beside = read(
                        [word, bad, !bad].map(u16::to_le_bytes).as_flattened(),
                        sample,
                        false,
                    );
                    assert_eq!(alone[0], beside[0], "{word:04X} of {stored} bits");
                }
            }
        }
    }

    #[test]
    fn a_value_in_the_upper_bits_is_moved_down() {
        let sample = Sample::Integer {
            bytes: 2,
            stored: 12,
            high_bit: 15,
            signed: false,
        };
        assert_eq!(read(&[0x1F, 0x00, 0xF0, 0xFF], sample, false), [1.0, 4095.0]);
    }

    #[test]
    fn big_endian_is_swapped() {
        assert_eq!(read(&[0x01, 0x02], Sample::low_bits(2, 16, false), true), [258.0]);
        assert_eq!(read(&1.5f32.to_be_bytes(), Sample::Float, true), [1.5]);
        assert_eq!(read(&(-2.5f64).to_le_bytes(), Sample::Double, false), [-2.5]);
    }

    #[test]
    fn an_odd_address_is_read_all_the_same() {
        let mut bytes = AlignedBytes::default();
        bytes.take(9).copy_from_slice(&[0, 1, 0, 2, 0, 3, 0, 4, 0]);
        assert_eq!(
            read(&bytes.bytes(9)[1..], Sample::low_bits(2, 16, false), false),
            [1.0, 2.0, 3.0, 4.0]
        );
    }

    #[test]
    fn right_samples_are_borrowed() {
        let mut bytes = AlignedBytes::default();
        bytes.take(4).copy_from_slice(&[1, 2, 3, 4]);
        let mut scratch = AlignedBytes::default();
        let layout = Layout {
            sample: Sample::low_bits(2, 12, false),
            swap: cfg!(target_endian = "big"),
        };
        let (Stored::U16(words), _) = stored(bytes.bytes(4), layout, &mut scratch) else {
            panic!("not 16-bit")
        };
        assert_eq!(words.as_ptr().cast::<u8>(), bytes.bytes(4).as_ptr());
    }
}
