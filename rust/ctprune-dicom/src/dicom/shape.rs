//! The shape of a frame, and whether it makes sense.

use super::header::{Header, PixelElement, PixelKind};
use super::stored::Sample;
use crate::code::Code;
use crate::error::{ReadError, unexpected};
use crate::slice::{ReadOptions, Refusal};
use crate::turns;

/// The shape of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub rows: u32,
    pub columns: u32,
    pub sample: Sample,
    /// Bytes of a frame that is not compressed.
    pub frame_bytes: usize,
}

impl Shape {
    /// The shape that the header declares, refused where it makes no sense or exceeds the limit.
    pub fn of(header: &Header, pixels: &PixelElement, options: &ReadOptions) -> Result<Self, Refusal> {
        let (rows, columns) = (header.info.rows, header.info.columns);
        if rows == 0 || columns == 0 {
            let found = format!("{rows} and {columns}");
            return Err(unexpected("Rows and Columns", "1 or more", found).into());
        }
        let sample = match pixels.kind {
            PixelKind::Integer => integer_sample(header)?,
            PixelKind::Float => Sample::Float,
            PixelKind::Double => Sample::Double,
        };
        let bytes = u64::from(rows).checked_mul(u64::from(columns) * sample.bytes() as u64);
        let limit = options.max_slice_bytes;
        let frame_bytes = bytes
            .filter(|&b| b <= limit)
            .and_then(|b| usize::try_from(b).ok());
        let shape = Shape {
            rows,
            columns,
            sample,
            frame_bytes: frame_bytes.unwrap_or(0),
        };
        match frame_bytes {
            Some(bytes) => {
                turns::wait_for(bytes as u64, options);
                Ok(shape)
            }
            None => Err(ReadError::TooLarge {
                what: shape.to_string().into(),
                limit,
            }
            .into()),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} × {} × {} bits",
            self.rows,
            self.columns,
            8 * self.sample.bytes()
        )
    }
}

fn integer_sample(header: &Header) -> Result<Sample, Refusal> {
    let allocated = header
        .bits_allocated
        .ok_or(ReadError::Missing("Bits Allocated"))?;
    match allocated {
        8 | 16 | 32 => {}
        // PS3.5 section 8.1.1 allows them.
        1 | 24 | 64 => {
            return Err(Refusal::unsupported(
                Code::Unsupported,
                format!("Bits Allocated {allocated}"),
            ));
        }
        _ => return Err(unexpected("Bits Allocated", "8, 16 or 32", allocated).into()),
    }
    let stored = header.info.bits_stored.unwrap_or(allocated);
    if stored == 0 || stored > allocated {
        return Err(unexpected("Bits Stored", format!("1 to {allocated}"), stored).into());
    }
    // A High Bit that leaves no room for the value cannot be meant; pydicom ignores High Bit altogether.
    let high_bit = header
        .high_bit
        .filter(|&high| high + 1 >= stored && high < allocated)
        .unwrap_or(stored - 1);
    let signed = header.pixel_representation == Some(1);
    Ok(Sample::Integer {
        bytes: allocated as usize / 8,
        stored,
        high_bit,
        signed,
    })
}
