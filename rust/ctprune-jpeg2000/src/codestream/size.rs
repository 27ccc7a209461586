//! Image and tile size (SIZ, ISO/IEC 15444-1 A.5.1).

use std::ops::Range;

use super::reader::Reader;
use crate::Error;

/// A rectangle of the reference grid, or of a band of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rect {
    pub x0: u32,
    pub y0: u32,
    pub x1: u32,
    pub y1: u32,
}

impl Rect {
    pub fn width(&self) -> usize {
        self.x1.saturating_sub(self.x0) as usize
    }

    pub fn height(&self) -> usize {
        self.y1.saturating_sub(self.y0) as usize
    }

    pub fn is_empty(&self) -> bool {
        self.width() == 0 || self.height() == 0
    }

    pub fn intersection(&self, other: &Rect) -> Rect {
        Rect {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        }
    }
}

/// Where image and tiles lie, and what a sample is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub image: Rect,
    tile_width: u32,
    tile_height: u32,
    tiles_x0: u32,
    tiles_y0: u32,
    /// Bits per sample, 1 to 16.
    pub precision: u32,
    pub signed: bool,
}

impl Size {
    pub fn read(mut segment: Reader<'_>) -> Result<Self, Error> {
        let _capabilities = segment.u16()?;
        let mut next = || segment.u32();
        let (x1, y1, x0, y0) = (next()?, next()?, next()?, next()?);
        let (tile_width, tile_height, tiles_x0, tiles_y0) = (next()?, next()?, next()?, next()?);
        if segment.u16()? != 1 {
            return Err(Error::Unsupported("several components"));
        }
        let (depth, step_x, step_y) = (segment.u8()?, segment.u8()?, segment.u8()?);
        if (step_x, step_y) != (1, 1) {
            return Err(Error::Unsupported("a subsampled component"));
        }
        let precision = u32::from(depth & 0x7F) + 1;
        if precision > 16 {
            return Err(Error::Unsupported("more than 16 bits per sample"));
        }
        let size = Size {
            image: Rect { x0, y0, x1, y1 },
            tile_width,
            tile_height,
            tiles_x0,
            tiles_y0,
            precision,
            signed: depth & 0x80 != 0,
        };
        size.checked()
    }

    fn checked(self) -> Result<Self, Error> {
        let Rect { x0, y0, x1, y1 } = self.image;
        // Half of the range is enough for any image, and no sum of two coordinates overflows.
        if x1.max(y1) > i32::MAX as u32 {
            return Err(Error::Unsupported("coordinates beyond 2³¹"));
        }
        let first_tile_meets_image = |tiles_at: u32, length: u32, image_at: u32| {
            tiles_at <= image_at && u64::from(tiles_at) + u64::from(length) > u64::from(image_at)
        };
        let valid = x0 < x1
            && y0 < y1
            && first_tile_meets_image(self.tiles_x0, self.tile_width, x0)
            && first_tile_meets_image(self.tiles_y0, self.tile_height, y0);
        match valid {
            true => Ok(self),
            false => Err(Error::Malformed("an empty image or tile")),
        }
    }

    fn tiles_across(&self) -> u32 {
        (self.image.x1 - self.tiles_x0).div_ceil(self.tile_width)
    }

    /// Number of tiles.
    pub fn tiles(&self) -> u64 {
        let down = (self.image.y1 - self.tiles_y0).div_ceil(self.tile_height);
        u64::from(self.tiles_across()) * u64::from(down)
    }

    /// The part of the image in tile `index` (B-7 to B-10 of the standard).
    pub fn tile(&self, index: u32) -> Rect {
        let span = |at: u32, start: u32, length: u32, limit: Range<u32>| {
            let low = u64::from(start) + u64::from(at) * u64::from(length);
            let high = low + u64::from(length);
            // Clamped to the image, so both fit.
            (
                low.max(limit.start.into()) as u32,
                high.min(limit.end.into()) as u32,
            )
        };
        let Rect { x0, y0, x1, y1 } = self.image;
        let (x, y) = (index % self.tiles_across(), index / self.tiles_across());
        let (left, right) = span(x, self.tiles_x0, self.tile_width, x0..x1);
        let (top, bottom) = span(y, self.tiles_y0, self.tile_height, y0..y1);
        Rect {
            x0: left,
            y0: top,
            x1: right,
            y1: bottom,
        }
    }
}
