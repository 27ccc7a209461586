//! From a codestream to samples, tile by tile.

use crate::Error;
use crate::block::Scratch;
use crate::codestream::{Codestream, Rect, Size, Style, TileStream};
use crate::tile::{Resolution, Tile};
use crate::wavelet::{Axis, Bands, irreversible, reversible};

/// Buffers larger than this are not kept for the next image.
const KEPT_BYTES: usize = 1 << 26;

/// A decoder; it keeps its buffers from image to image.
#[derive(Default)]
pub struct Decoder {
    blocks: Scratch,
    whole: Plane<i32>,
    real: Plane<f32>,
    rows: reversible::Rows,
}

/// Coefficients of a tile, and those of the levels that are put together.
struct Plane<T> {
    coefficients: Vec<T>,
    level: Vec<T>,
    next: Vec<T>,
}

impl<T> Default for Plane<T> {
    fn default() -> Self {
        Plane {
            coefficients: Vec::new(),
            level: Vec::new(),
            next: Vec::new(),
        }
    }
}

impl<T: Copy + Default> Plane<T> {
    fn reset(&mut self, coefficients: usize) {
        self.coefficients.clear();
        self.coefficients.resize(coefficients, T::default());
    }

    fn release(&mut self) {
        for buffer in [&mut self.coefficients, &mut self.level, &mut self.next] {
            if buffer.capacity() * size_of::<T>() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }

    /// The bands of a resolution level above the lowest.
    fn bands(&self, tile: &Tile, resolution: &Resolution) -> Bands<'_, T> {
        let band = |n: usize| {
            let band = &tile.bands[resolution.bands.start + n];
            let rect = &band.rect;
            &self.coefficients[band.offset..][..rect.width() * rect.height()]
        };
        Bands {
            low_low: &self.level,
            high_low: band(0),
            low_high: band(1),
            high_high: band(2),
        }
    }
}

impl Decoder {
    /// Decodes a codestream of one component with `rows × columns` samples into `target`: one byte for each
    /// sample of up to 8 bits, else two in this machine's order; signed ones as two's complement.
    ///
    /// # Errors
    ///
    /// [`Error`] says why the stream gives no samples; `target` then holds anything.
    pub fn decode(
        &mut self,
        codestream: &[u8],
        (rows, columns): (usize, usize),
        target: &mut [u8],
    ) -> Result<(), Error> {
        let codestream = Codestream::read(codestream)?;
        let size = codestream.size;
        let found = (size.image.height(), size.image.width());
        if found != (rows, columns) {
            let expected = (rows, columns);
            return Err(Error::Size { expected, found });
        }
        let sample_bytes = if size.precision <= 8 { 1 } else { 2 };
        let needed = rows
            .checked_mul(columns)
            .and_then(|n| n.checked_mul(sample_bytes));
        if needed != Some(target.len()) {
            return Err(Error::TargetBytes {
                expected: needed.unwrap_or(usize::MAX),
                found: target.len(),
            });
        }
        let mut image = Image {
            size,
            columns,
            target,
        };
        let mut result = Ok(());
        for (index, stream) in codestream.tiles.iter().enumerate() {
            result = self.decode_tile(size.tile(index as u32), stream, &mut image);
            if result.is_err() {
                break;
            }
        }
        self.whole.release();
        self.real.release();
        result
    }

    fn decode_tile(
        &mut self,
        rect: Rect,
        stream: &TileStream<'_>,
        image: &mut Image<'_>,
    ) -> Result<(), Error> {
        if rect.is_empty() {
            return Ok(());
        }
        let mut tile = Tile::new(rect, stream, image.size.precision)?;
        tile.read_packets(stream)?;
        let style = stream.coding.style;
        if stream.coding.reversible {
            self.whole.reset(tile.coefficients);
            self.decode_blocks(&tile, &stream.packets, style, |decoder, coefficients, at, _| {
                halve(
                    coefficients,
                    &mut decoder.whole.coefficients[at..][..coefficients.len()],
                );
            })?;
            self.synthesize_whole(&tile, image);
        } else {
            self.real.reset(tile.coefficients);
            self.decode_blocks(
                &tile,
                &stream.packets,
                style,
                |decoder, coefficients, at, step| {
                    scale(
                        coefficients,
                        step,
                        &mut decoder.real.coefficients[at..][..coefficients.len()],
                    );
                },
            )?;
            self.synthesize_real(&tile, image);
        }
        Ok(())
    }

    /// Decodes all blocks; `store` gets a row of a block, where it goes, and the band's step.
    fn decode_blocks(
        &mut self,
        tile: &Tile,
        packets: &[u8],
        style: Style,
        store: impl Fn(&mut Self, &[i32], usize, f32),
    ) -> Result<(), Error> {
        for block in &tile.blocks {
            if !self.blocks.decode(tile, block, packets, style)? {
                continue;
            }
            let band = &tile.bands[block.band];
            let coefficients = std::mem::take(&mut self.blocks.coefficients);
            let rows = coefficients.chunks_exact(self.blocks.stride).take(block.height);
            for (row, values) in rows.enumerate() {
                let at = band.offset + (block.y + row) * band.rect.width() + block.x;
                store(self, &values[..block.width], at, band.step_size);
            }
            self.blocks.coefficients = coefficients;
        }
        Ok(())
    }

    fn synthesize_whole(&mut self, tile: &Tile, image: &mut Image<'_>) {
        let plane = &mut self.whole;
        let lowest = tile.resolutions[0].rect;
        plane.level.clear();
        plane
            .level
            .extend_from_slice(&plane.coefficients[..lowest.width() * lowest.height()]);
        let last = tile.resolutions.len() - 1;
        if last == 0 {
            image.store_level(&plane.level, &tile.rect, |value| value);
        }
        for (index, resolution) in tile.resolutions.iter().enumerate().skip(1) {
            let rect = &resolution.rect;
            if rect.is_empty() {
                plane.level.clear();
                continue;
            }
            let (across, down) = (Axis::new(rect.x0, rect.x1), Axis::new(rect.y0, rect.y1));
            let mut next = std::mem::take(&mut plane.next);
            next.clear();
            let bands = plane.bands(tile, resolution);
            if index == last {
                let mut y = tile.rect.y0;
                reversible::synthesize(&bands, across, down, &mut self.rows, &mut |row: &[i32]| {
                    image.store(row, tile.rect.x0, y, |value| value);
                    y += 1;
                });
            } else {
                next.reserve(rect.width() * rect.height());
                reversible::synthesize(&bands, across, down, &mut self.rows, &mut |row: &[i32]| {
                    next.extend_from_slice(row)
                });
            }
            plane.next = std::mem::replace(&mut plane.level, next);
        }
    }

    fn synthesize_real(&mut self, tile: &Tile, image: &mut Image<'_>) {
        let plane = &mut self.real;
        let lowest = tile.resolutions[0].rect;
        plane.level.clear();
        plane
            .level
            .extend_from_slice(&plane.coefficients[..lowest.width() * lowest.height()]);
        let mut halves = Vec::new();
        for resolution in &tile.resolutions[1..] {
            let rect = &resolution.rect;
            if rect.is_empty() {
                plane.level.clear();
                continue;
            }
            let (across, down) = (Axis::new(rect.x0, rect.x1), Axis::new(rect.y0, rect.y1));
            let mut next = std::mem::take(&mut plane.next);
            let bands = plane.bands(tile, resolution);
            irreversible::synthesize(&bands, across, down, &mut halves, &mut next);
            plane.next = std::mem::replace(&mut plane.level, next);
        }
        // To the nearest, ties to even; a cast saturates.
        image.store_level(&plane.level, &tile.rect, |value| value.round_ties_even() as i32);
    }
}

/// Where samples go.
struct Image<'a> {
    size: Size,
    columns: usize,
    target: &'a mut [u8],
}

impl Image<'_> {
    fn store_level<T: Copy>(&mut self, level: &[T], rect: &Rect, whole: impl Fn(T) -> i32 + Copy) {
        for (y, row) in (rect.y0..).zip(level.chunks_exact(rect.width())) {
            self.store(row, rect.x0, y, whole);
        }
    }

    /// Stores a row that starts at `(x, y)` of the reference grid, shifted and clamped (G.1).
    fn store<T: Copy>(&mut self, row: &[T], x: u32, y: u32, whole: impl Fn(T) -> i32) {
        let Rect { x0, y0, .. } = self.size.image;
        let at = (y - y0) as usize * self.columns + (x - x0) as usize;
        let bytes = if self.size.precision <= 8 { 1 } else { 2 };
        let target = &mut self.target[bytes * at..][..bytes * row.len()];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { store_row_avx2(self.size, row, whole, target) };
        }
        store_row(self.size, row, whole, target);
    }
}

#[inline(always)]
fn store_row<T: Copy>(size: Size, row: &[T], whole: impl Fn(T) -> i32, target: &mut [u8]) {
    let half = 1i32 << (size.precision - 1);
    let (shift, low, high) = match size.signed {
        true => (0, -half, half - 1),
        false => (half, 0, 2 * half - 1),
    };
    let sample = |value: T| whole(value).saturating_add(shift).clamp(low, high);
    if size.precision <= 8 {
        for (target, &value) in target.iter_mut().zip(row) {
            *target = sample(value) as u8;
        }
    } else {
        for (target, &value) in target.as_chunks_mut::<2>().0.iter_mut().zip(row) {
            *target = (sample(value) as u16).to_ne_bytes();
        }
    }
}

/// The same code, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn store_row_avx2<T: Copy>(size: Size, row: &[T], whole: impl Fn(T) -> i32, target: &mut [u8]) {
    store_row(size, row, whole, target);
}

/// Coefficients come doubled.
fn halve(coefficients: &[i32], target: &mut [i32]) {
    for (target, &coefficient) in target.iter_mut().zip(coefficients) {
        *target = coefficient / 2;
    }
}

fn scale(coefficients: &[i32], step: f32, target: &mut [f32]) {
    let step = 0.5 * step;
    for (target, &coefficient) in target.iter_mut().zip(coefficients) {
        *target = coefficient as f32 * step;
    }
}
