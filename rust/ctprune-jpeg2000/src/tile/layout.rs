//! Where bands, precincts and code-blocks lie (ISO/IEC 15444-1 B.5 to B.9).

use super::tag_tree::TagTree;
use crate::Error;
use crate::codestream::{Coding, Rect, TileStream};

/// Blocks and precincts that a tile may have: bookkeeping must not outgrow the samples.
const MOST_PARTS: u64 = 1 << 18;

/// Which filters a band has behind it: low or high pass, along rows and along columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orientation {
    LowLow,
    HighLow,
    LowHigh,
    HighHigh,
}

/// A band of coefficients.
#[derive(Clone, Debug)]
pub(crate) struct Band {
    pub orientation: Orientation,
    pub rect: Rect,
    /// Bit-planes, without those that only guard bits could reach; with those of a region of interest.
    pub planes: u32,
    /// Step of the quantization; unused where the transform is reversible.
    pub step_size: f32,
    /// Where its coefficients start in the tile's.
    pub offset: usize,
}

/// The blocks of one band in one precinct.
#[derive(Clone, Debug)]
pub(crate) struct PrecinctBand {
    pub band: usize,
    pub first_block: usize,
    pub across: usize,
    pub down: usize,
    pub inclusion: TagTree,
    pub zero_planes: TagTree,
}

/// A precinct: what one packet of one layer holds.
#[derive(Clone, Debug)]
pub(crate) struct Precinct {
    /// Upper left corner on the reference grid, for progressions by position.
    pub position: (u64, u64),
    pub bands: Vec<PrecinctBand>,
}

/// A resolution level.
#[derive(Clone, Debug)]
pub(crate) struct Resolution {
    pub rect: Rect,
    /// Into [`Tile::bands`]: LL alone, or HL, LH, HH.
    pub bands: std::ops::Range<usize>,
    pub precincts: Vec<Precinct>,
}

/// A code-block and what its packets have said so far.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub band: usize,
    /// Within its band.
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
    pub included: bool,
    pub zero_planes: u32,
    pub length_bits: u32,
    pub passes: u32,
    /// First and last of its pieces in [`Tile::pieces`].
    pub pieces: Option<(usize, usize)>,
}

/// Some bytes of a block's codeword segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Within the tile's packets.
    pub start: usize,
    pub length: usize,
    /// Passes that these bytes add.
    pub passes: u32,
    pub next: Option<usize>,
}

/// All of a tile but its coefficients.
#[derive(Debug)]
pub(crate) struct Tile {
    pub rect: Rect,
    pub resolutions: Vec<Resolution>,
    pub bands: Vec<Band>,
    pub blocks: Vec<Block>,
    pub pieces: Vec<Piece>,
    /// Bit-planes by which a region of interest is raised.
    pub roi_shift: u32,
    /// Number of coefficients.
    pub coefficients: usize,
}

impl Tile {
    pub fn new(rect: Rect, stream: &TileStream<'_>, precision: u32) -> Result<Self, Error> {
        let mut tile = Tile {
            rect,
            resolutions: Vec::new(),
            bands: Vec::new(),
            blocks: Vec::new(),
            pieces: Vec::new(),
            roi_shift: stream.roi_shift.into(),
            coefficients: 0,
        };
        let levels = u32::from(stream.coding.levels);
        let mut parts = 0;
        for resolution in 0..=levels {
            let first_band = tile.bands.len();
            let below = levels - resolution;
            let kinds: &[Orientation] = match resolution {
                0 => &[Orientation::LowLow],
                _ => &[Orientation::HighLow, Orientation::LowHigh, Orientation::HighHigh],
            };
            for &orientation in kinds {
                let level = if resolution == 0 { below } else { below + 1 };
                tile.add_band(orientation, level, stream, precision)?;
            }
            let rect = Rect {
                x0: shrunk(rect.x0, below),
                y0: shrunk(rect.y0, below),
                x1: shrunk(rect.x1, below),
                y1: shrunk(rect.y1, below),
            };
            let bands = first_band..tile.bands.len();
            let precincts = tile.precincts(resolution, &rect, &bands, &stream.coding, &mut parts)?;
            tile.resolutions.push(Resolution {
                rect,
                bands,
                precincts,
            });
        }
        Ok(tile)
    }

    fn add_band(
        &mut self,
        orientation: Orientation,
        level: u32,
        stream: &TileStream<'_>,
        precision: u32,
    ) -> Result<(), Error> {
        let high_x = matches!(orientation, Orientation::HighLow | Orientation::HighHigh);
        let high_y = matches!(orientation, Orientation::LowHigh | Orientation::HighHigh);
        let rect = Rect {
            x0: band_edge(self.rect.x0, level, high_x),
            y0: band_edge(self.rect.y0, level, high_y),
            x1: band_edge(self.rect.x1, level, high_x),
            y1: band_edge(self.rect.y1, level, high_y),
        };
        let index = self.bands.len();
        self.bands.push(Band {
            orientation,
            rect,
            planes: stream.quantization.planes(index)? + u32::from(stream.roi_shift),
            step_size: stream.quantization.step_size(index, precision)?,
            offset: self.coefficients,
        });
        self.coefficients += rect.width() * rect.height();
        Ok(())
    }

    fn precincts(
        &mut self,
        resolution: u32,
        rect: &Rect,
        bands: &std::ops::Range<usize>,
        coding: &Coding,
        parts: &mut u64,
    ) -> Result<Vec<Precinct>, Error> {
        let mut precincts = Vec::new();
        if rect.is_empty() {
            return Ok(precincts);
        }
        let (width_log2, height_log2) = coding.precinct(resolution as usize);
        let halved = u32::from(resolution > 0);
        if width_log2 < halved || height_log2 < halved {
            return Err(Error::Malformed("a precinct without coefficients"));
        }
        let below = u32::from(coding.levels) - resolution;
        let in_band = (width_log2 - halved, height_log2 - halved);
        let block = (
            in_band.0.min(coding.block_width_log2.into()),
            in_band.1.min(coding.block_height_log2.into()),
        );
        let (left, right) = (rect.x0 >> width_log2, shrunk(rect.x1, width_log2));
        let (top, bottom) = (rect.y0 >> height_log2, shrunk(rect.y1, height_log2));
        *parts += u64::from(right - left) * u64::from(bottom - top);
        check(*parts)?;
        for y in top..bottom {
            for x in left..right {
                let at = |n: u32, log2: u32, least: u32| (u64::from(n) << (log2 + below)).max(least.into());
                let mut precinct = Precinct {
                    position: (at(y, height_log2, self.rect.y0), at(x, width_log2, self.rect.x0)),
                    bands: Vec::with_capacity(bands.len()),
                };
                for band in bands.clone() {
                    let area = Rect {
                        x0: x << in_band.0,
                        y0: y << in_band.1,
                        x1: (x + 1) << in_band.0,
                        y1: (y + 1) << in_band.1,
                    };
                    precinct.bands.push(self.add_blocks(band, &area, block, parts)?);
                }
                precincts.push(precinct);
            }
        }
        Ok(precincts)
    }

    /// Adds the blocks of a band that lie in `area`, a precinct's share of it.
    fn add_blocks(
        &mut self,
        band: usize,
        area: &Rect,
        (width_log2, height_log2): (u32, u32),
        parts: &mut u64,
    ) -> Result<PrecinctBand, Error> {
        let whole = self.bands[band].rect;
        let area = area.intersection(&whole);
        let first_block = self.blocks.len();
        let (mut across, mut down) = (0, 0);
        if !area.is_empty() {
            let (left, right) = (area.x0 >> width_log2, shrunk(area.x1, width_log2));
            let (top, bottom) = (area.y0 >> height_log2, shrunk(area.y1, height_log2));
            *parts += u64::from(right - left) * u64::from(bottom - top);
            check(*parts)?;
            (across, down) = ((right - left) as usize, (bottom - top) as usize);
            for (y, x) in (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x))) {
                let cell = Rect {
                    x0: x << width_log2,
                    y0: y << height_log2,
                    x1: (x + 1) << width_log2,
                    y1: (y + 1) << height_log2,
                };
                self.blocks
                    .push(Block::new(band, &cell.intersection(&area), &whole));
            }
        }
        Ok(PrecinctBand {
            band,
            first_block,
            across,
            down,
            inclusion: TagTree::new(across, down),
            zero_planes: TagTree::new(across, down),
        })
    }
}

impl Block {
    fn new(band: usize, rect: &Rect, whole: &Rect) -> Self {
        Block {
            band,
            x: (rect.x0 - whole.x0) as usize,
            y: (rect.y0 - whole.y0) as usize,
            width: rect.width(),
            height: rect.height(),
            included: false,
            zero_planes: 0,
            length_bits: 3,
            passes: 0,
            pieces: None,
        }
    }
}

fn check(parts: u64) -> Result<(), Error> {
    match parts <= MOST_PARTS {
        true => Ok(()),
        false => Err(Error::Unsupported("very many code-blocks or precincts")),
    }
}

/// ⌈n / 2^log2⌉.
fn shrunk(n: u32, log2: u32) -> u32 {
    // Coordinates are below 2³¹, so from there on only zero and one are left.
    u64::from(n).div_ceil(1 << log2) as u32
}

/// Where a band of decomposition level `level` starts (or ends) that a tile does at `n` (B-15).
fn band_edge(n: u32, level: u32, high: bool) -> u32 {
    let half = if high { 1u64 << (level - 1) } else { 0 };
    u64::from(n).saturating_sub(half).div_ceil(1 << level) as u32
}
