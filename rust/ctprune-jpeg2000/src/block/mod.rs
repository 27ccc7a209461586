//! Code-blocks: bytes to coefficients (ISO/IEC 15444-1 Annex D; HT in 15444-15).

mod ht;
mod mq;
mod neighbors;
mod passes;
mod raw;

use self::mq::{Mq, UNIFORM, fresh_contexts};
use self::neighbors::{Columns, SIGNIFICANCE_CONTEXTS};
use self::passes::Plane;
use self::raw::RawBits;
use crate::Error;
use crate::codestream::Style;
use crate::tile::{Block, Orientation, Piece, Tile, passes_left_in_segment};

/// Bit-planes that a coefficient's 32 bits have room for, beside its sign, its half bit and a carry.
const MOST_PLANES: u32 = 28;

/// Buffers, kept from block to block.
#[derive(Default)]
pub(crate) struct Scratch {
    columns: Columns,
    scanned: Vec<[i32; 4]>,
    /// Twice the coefficients of the block, row by row.
    pub coefficients: Vec<i32>,
    /// Length of these rows.
    pub stride: usize,
    segment: Vec<u8>,
    ht: ht::Buffers,
}

impl Scratch {
    /// Decodes a block of `tile`, whose packets these are. Returns false where all coefficients are zero.
    pub fn decode(
        &mut self,
        tile: &Tile,
        block: &Block,
        packets: &[u8],
        style: Style,
    ) -> Result<bool, Error> {
        let band = &tile.bands[block.band];
        if block.passes == 0 {
            return Ok(false);
        }
        if band.planes > MOST_PLANES {
            return Err(Error::Unsupported("more than 28 bit-planes"));
        }
        let planes = band
            .planes
            .checked_sub(block.zero_planes)
            .ok_or(Error::Malformed("more empty bit-planes than there are"))?;
        if planes == 0 {
            // Passes without a bit-plane: nothing that they could change.
            return Ok(false);
        }
        if style.high_throughput() {
            self.decode_ht(tile, block, packets, planes)?;
        } else {
            self.decode_passes(tile, block, packets, style, planes);
        }
        lower_region(&mut self.coefficients, tile.roi_shift);
        Ok(true)
    }

    fn decode_ht(&mut self, tile: &Tile, block: &Block, packets: &[u8], planes: u32) -> Result<(), Error> {
        if block.passes > 1 {
            return Err(Error::Unsupported("HT refinement passes"));
        }
        self.segment.clear();
        for piece in pieces(tile, block) {
            self.segment.extend_from_slice(bytes(packets, piece));
        }
        self.stride = ht::stride(block.width);
        // All of it is written.
        self.coefficients
            .resize(self.stride * block.height.next_multiple_of(2), 0);
        self.ht.decode(
            &self.segment,
            (block.width, block.height),
            (planes, block.zero_planes),
            &mut self.coefficients,
        )
    }

    fn decode_passes(&mut self, tile: &Tile, block: &Block, packets: &[u8], style: Style, planes: u32) {
        self.columns.reset(block.width, block.height);
        self.scanned.clear();
        self.scanned
            .resize(block.width * block.height.div_ceil(4), [0; 4]);
        let orientation = match tile.bands[block.band].orientation {
            Orientation::LowLow | Orientation::LowHigh => 0,
            Orientation::HighLow => 1,
            Orientation::HighHigh => 2,
        };
        let mut plane = Plane {
            columns: &mut self.columns,
            coefficients: &mut self.scanned,
            width: block.width,
            height: block.height,
            causal: style.vertically_causal(),
            one: 1 << planes,
            significance: &SIGNIFICANCE_CONTEXTS[orientation],
        };
        let mut contexts = fresh_contexts();
        let mut done = 0;
        let mut pending = 0;
        self.segment.clear();
        let mut pieces = pieces(tile, block).peekable();
        while let Some(piece) = pieces.next() {
            self.segment.extend_from_slice(bytes(packets, piece));
            pending += piece.passes;
            // A segment continues in the next piece, unless it had all passes that it can have.
            let ends = passes_left_in_segment(style, done) <= pending;
            if !ends && pieces.peek().is_some() {
                continue;
            }
            // The first passes of a block are arithmetically coded, whatever the style.
            let raw = style.bypass() && done >= 10 && (done - 10) % 3 < 2;
            let mut mq = Mq::new(if raw { &[] } else { &self.segment });
            let mut bits = RawBits::new(&self.segment);
            for pass in done..done + pending {
                // A block starts with a cleanup pass; three passes make a bit-plane.
                match ((pass + 2) % 3, raw) {
                    (0, false) => plane.propagate(&mut contexts, &mut mq),
                    (0, true) => plane.propagate_raw(&mut bits),
                    (1, false) => plane.refine(&mut contexts, &mut mq),
                    (1, true) => plane.refine_raw(&mut bits),
                    _ => {
                        plane.clean_up(&mut contexts, &mut mq);
                        if style.has_segmentation_symbols() {
                            for _ in 0..4 {
                                mq.symbol(&mut contexts, UNIFORM);
                            }
                        }
                        plane.one >>= 1;
                    }
                }
                if style.resets_contexts() {
                    contexts = fresh_contexts();
                }
                if plane.one == 1 {
                    break;
                }
            }
            done += pending;
            pending = 0;
            self.segment.clear();
            if plane.one == 1 {
                break;
            }
        }
        self.unscan(block.width, block.height);
    }

    /// From the order of the scan to rows.
    fn unscan(&mut self, width: usize, height: usize) {
        self.stride = width;
        self.coefficients.clear();
        self.coefficients.resize(width * height, 0);
        let stripes = self.scanned.chunks_exact(width);
        for (stripe, rows) in stripes.zip(self.coefficients.chunks_mut(4 * width)) {
            for (row, target) in rows.chunks_exact_mut(width).enumerate() {
                for (target, column) in target.iter_mut().zip(stripe) {
                    *target = column[row];
                }
            }
        }
    }
}

/// Lowers the coefficients of a region of interest (H.1): all that are as large as only these can be. They
/// come doubled.
fn lower_region(coefficients: &mut [i32], shift: u32) {
    if shift == 0 {
        return;
    }
    for coefficient in coefficients {
        if coefficient.unsigned_abs() >> shift >= 2 {
            let magnitude = (coefficient.unsigned_abs() >> shift) as i32;
            *coefficient = magnitude * coefficient.signum();
        }
    }
}

/// The pieces of a block, in order.
fn pieces<'a>(tile: &'a Tile, block: &Block) -> impl Iterator<Item = &'a Piece> + use<'a> {
    let mut next = block.pieces.map(|(first, _)| first);
    std::iter::from_fn(move || {
        let piece = &tile.pieces[next?];
        next = piece.next;
        Some(piece)
    })
}

/// The bytes of a piece; packets were read to their ends, so that they are there.
fn bytes<'a>(packets: &'a [u8], piece: &Piece) -> &'a [u8] {
    &packets[piece.start..piece.start + piece.length]
}
