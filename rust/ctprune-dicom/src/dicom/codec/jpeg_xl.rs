//! JPEG XL by jxl-oxide.

use jxl_oxide::{AllocTracker, JxlImage};

use super::stream::Stream;
use crate::error::{ReadError, unexpected};

/// What the decoder may allocate: a multiple of its working set, which is some planes of 32-bit samples.
const BYTES_PER_PIXEL: usize = 128;
/// The same, for what does not grow with the image.
const BYTES_PER_IMAGE: usize = 16 << 20;

fn corrupt(error: impl std::fmt::Display) -> ReadError {
    ReadError::Corrupt {
        what: "JPEG XL stream",
        reason: error.to_string(),
    }
}

/// A stream whose header is read.
pub(crate) struct Image(JxlImage);

impl Image {
    /// Reads the header of a stream that should have `pixels` pixels.
    pub fn read(bytes: &[u8], pixels: usize) -> Result<Self, ReadError> {
        let limit = pixels
            .saturating_mul(BYTES_PER_PIXEL)
            .saturating_add(BYTES_PER_IMAGE);
        let image = JxlImage::builder()
            .alloc_tracker(AllocTracker::with_limit(limit))
            .read(bytes);
        image.map(Self).map_err(corrupt)
    }

    /// What the header says.
    pub fn stream(&self) -> Stream {
        Stream {
            rows: self.0.height(),
            columns: self.0.width(),
            components: self.0.pixel_format().channels() as u32,
            precision: self.0.image_header().metadata.bit_depth.bits_per_sample(),
            signed: false,
        }
    }

    /// Decodes into samples of one byte or, above 8 bits, of two in this machine's byte order.
    pub fn decode(&self, target: &mut [u8]) -> Result<(), ReadError> {
        let stream = self.stream();
        let render = self.0.render_frame(0).map_err(corrupt)?;
        let planes = render.image_planar();
        let plane = planes.first().map_or(&[][..], |plane| plane.buf());
        let wanted = target.len() / stream.sample_bytes();
        if plane.len() != wanted {
            return Err(unexpected(
                "the pixels of the JPEG XL stream",
                wanted.to_string(),
                plane.len(),
            ));
        }
        // Samples come scaled to [0, 1]; 24 bits of mantissa hold 16-bit values exactly enough to round back.
        let max = ((1u32 << stream.precision) - 1) as f32;
        let sample = |value: f32| (value * max).round().clamp(0.0, max) as u16;
        if stream.sample_bytes() == 1 {
            target
                .iter_mut()
                .zip(plane)
                .for_each(|(out, &value)| *out = sample(value) as u8);
        } else {
            let target = bytemuck::cast_slice_mut::<u8, u16>(target);
            target
                .iter_mut()
                .zip(plane)
                .for_each(|(out, &value)| *out = sample(value));
        }
        Ok(())
    }
}
