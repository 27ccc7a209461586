//! The types that samples are stored in, their byte order, and how many bytes a slice of them may take.

use ctprune_core::pixels::Stored;

use crate::error::{ReadError, unexpected};
use crate::slice::ReadOptions;
use crate::turns;

/// The type of one stored sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    F64,
}

impl SampleType {
    /// Bytes of one sample.
    pub(crate) fn size(self) -> usize {
        match self {
            SampleType::U8 | SampleType::I8 => 1,
            SampleType::U16 | SampleType::I16 => 2,
            SampleType::U32 | SampleType::I32 | SampleType::F32 => 4,
            SampleType::F64 => 8,
        }
    }
}

/// Bytes of an [`AlignedBytes`](crate::aligned::AlignedBytes) as samples in the machine's byte order.
pub(crate) fn stored(sample: SampleType, bytes: &[u8]) -> Stored<'_> {
    match sample {
        SampleType::U8 => Stored::U8(bytes),
        SampleType::I8 => Stored::I8(bytemuck::cast_slice(bytes)),
        SampleType::U16 => Stored::U16(bytemuck::cast_slice(bytes)),
        SampleType::I16 => Stored::I16(bytemuck::cast_slice(bytes)),
        SampleType::U32 => Stored::U32(bytemuck::cast_slice(bytes)),
        SampleType::I32 => Stored::I32(bytemuck::cast_slice(bytes)),
        SampleType::F32 => Stored::F32(bytemuck::cast_slice(bytes)),
        SampleType::F64 => Stored::F64(bytemuck::cast_slice(bytes)),
    }
}

/// Turns samples of `size` bytes in the given byte order into the machine's, in place.
pub(crate) fn make_native(bytes: &mut [u8], size: usize, big_endian: bool) {
    if big_endian == cfg!(target_endian = "big") {
        return;
    }
    match size {
        2 => reverse_each::<2>(bytes),
        4 => reverse_each::<4>(bytes),
        8 => reverse_each::<8>(bytes),
        _ => {}
    }
}

fn reverse_each<const N: usize>(bytes: &mut [u8]) {
    bytes.chunks_exact_mut(N).for_each(<[u8]>::reverse);
}

/// Bytes of a slice of `rows × columns` pixels, or why there may be no such slice. Both sides fit in 32 bits
/// then.
pub(crate) fn slice_bytes(
    rows: u64,
    columns: u64,
    bytes_per_pixel: u64,
    options: &ReadOptions,
) -> Result<usize, ReadError> {
    if rows == 0 || columns == 0 {
        let found = format!("{rows} × {columns} pixels");
        return Err(unexpected("the size of the image", "at least one pixel", found));
    }
    let bytes = rows
        .checked_mul(columns)
        .and_then(|pixels| pixels.checked_mul(bytes_per_pixel));
    turns::wait_for(bytes.unwrap_or(0), options);
    let sides_fit = rows.max(columns) <= u64::from(u32::MAX);
    bytes
        .filter(|_| sides_fit)
        .filter(|&bytes| bytes <= options.max_slice_bytes)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| ReadError::TooLarge {
            what: format!("{rows} × {columns} pixels of {bytes_per_pixel} bytes").into(),
            limit: options.max_slice_bytes,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aligned::AlignedBytes;

    #[test]
    fn byte_order_is_the_machines_afterwards() {
        let mut bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        make_native(&mut bytes, 2, true);
        assert_eq!(u16::from_ne_bytes([bytes[0], bytes[1]]), 0x0102);
        let mut bytes = 0x0102_0304_u32.to_le_bytes();
        make_native(&mut bytes, 4, false);
        assert_eq!(u32::from_ne_bytes(bytes), 0x0102_0304);
    }

    #[test]
    fn a_slice_beyond_the_limit_is_refused() {
        let options = ReadOptions {
            max_slice_bytes: 100,
            ..ReadOptions::default()
        };
        assert_eq!(slice_bytes(10, 5, 2, &options), Ok(100));
        assert!(slice_bytes(10, 5, 4, &options).is_err());
        assert!(slice_bytes(u64::MAX, 2, 2, &options).is_err());
        assert!(slice_bytes(0, 2, 2, &options).is_err());
    }

    #[test]
    fn the_buffer_serves_every_type() {
        let mut buffer = AlignedBytes::default();
        buffer.take(12).copy_from_slice(&[7; 12]);
        assert!(matches!(stored(SampleType::I16, buffer.bytes(12)), Stored::I16(s) if s == [0x0707; 6]));
        assert_eq!(stored(SampleType::F32, buffer.bytes(12)).len(), 3);
        assert_eq!(stored(SampleType::F64, buffer.bytes(8)).len(), 1);
    }
}
