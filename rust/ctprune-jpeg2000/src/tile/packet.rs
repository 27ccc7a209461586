//! Packets: which blocks get which bytes (ISO/IEC 15444-1 B.9 and B.10).

use super::bits::HeaderBits;
use super::layout::{Piece, Tile};
use super::order::Packet;
use crate::Error;
use crate::codestream::{Coding, Style, TileStream};

/// Most passes of a block: three for each of 38 bit-planes and one less at the top would be 112; a packet's
/// header can say up to 164.
const MOST_PASSES: u32 = 164;

impl Tile {
    /// Reads all packets of the tile.
    pub fn read_packets(&mut self, stream: &TileStream<'_>) -> Result<(), Error> {
        let (coding, packets) = (&stream.coding, &*stream.packets);
        let mut rest = packets;
        let mut fresh = Vec::new();
        self.each_packet(coding, &stream.changes, |tile, packet| {
            let at = packets.len() - rest.len();
            rest = tile.read_packet(packet, rest, at, coding, &mut fresh)?;
            Ok(())
        })
    }

    /// Reads the packet at the start of `bytes`; returns what follows it.
    fn read_packet<'a>(
        &mut self,
        (resolution, precinct, layer): Packet,
        bytes: &'a [u8],
        at: usize,
        coding: &Coding,
        fresh: &mut Vec<(usize, Piece)>,
    ) -> Result<&'a [u8], Error> {
        let end = at + bytes.len();
        let bytes = match bytes {
            [0xFF, 0x91, ..] if coding.may_have_sop => bytes.get(6..).ok_or(Error::Truncated)?,
            _ => bytes,
        };
        let mut bits = HeaderBits::new(bytes);
        fresh.clear();
        if bits.bit()? == 1 {
            self.read_header((resolution, precinct, layer), &mut bits, coding.style, fresh)?;
        }
        let mut rest = bits.rest()?;
        if coding.has_eph {
            rest = rest
                .strip_prefix(&[0xFF, 0x92])
                .ok_or(Error::Malformed("no end of a packet header"))?;
        }
        for &(block, piece) in &*fresh {
            let start = end - rest.len();
            rest = rest.get(piece.length..).ok_or(Error::Truncated)?;
            self.add_piece(block, Piece { start, ..piece });
        }
        Ok(rest)
    }

    fn read_header(
        &mut self,
        (resolution, precinct, layer): Packet,
        bits: &mut HeaderBits<'_>,
        style: Style,
        fresh: &mut Vec<(usize, Piece)>,
    ) -> Result<(), Error> {
        let precinct = &mut self.resolutions[resolution].precincts[precinct];
        for part in &mut precinct.bands {
            for index in 0..part.across * part.down {
                let leaf = (index % part.across, index / part.across);
                let block = &mut self.blocks[part.first_block + index];
                let contributes = match block.included {
                    true => bits.bit()? == 1,
                    false => part.inclusion.is_below(leaf, u32::from(layer) + 1, bits)?,
                };
                if !contributes {
                    continue;
                }
                if !block.included {
                    block.included = true;
                    let most = self.bands[part.band].planes;
                    while !part.zero_planes.is_below(leaf, block.zero_planes + 1, bits)? {
                        block.zero_planes += 1;
                        if block.zero_planes > most {
                            return Err(Error::Malformed("more empty bit-planes than there are"));
                        }
                    }
                }
                let mut passes = read_passes(bits)?;
                while bits.bit()? == 1 {
                    block.length_bits += 1;
                    if block.length_bits > 32 {
                        return Err(Error::Malformed("a length of more than 32 bits"));
                    }
                }
                while passes > 0 {
                    let now = passes.min(passes_left_in_segment(style, block.passes));
                    let count = block.length_bits + now.ilog2();
                    if count > 32 {
                        return Err(Error::Malformed("a length of more than 32 bits"));
                    }
                    let length = bits.bits(count)? as usize;
                    block.passes += now;
                    passes -= now;
                    if block.passes > MOST_PASSES {
                        return Err(Error::Malformed("too many passes"));
                    }
                    fresh.push((
                        part.first_block + index,
                        Piece {
                            start: 0,
                            length,
                            passes: now,
                            next: None,
                        },
                    ));
                }
            }
        }
        Ok(())
    }

    fn add_piece(&mut self, block: usize, piece: Piece) {
        let index = self.pieces.len();
        self.pieces.push(piece);
        let block = &mut self.blocks[block];
        match &mut block.pieces {
            Some((_, last)) => {
                self.pieces[*last].next = Some(index);
                *last = index;
            }
            none => *none = Some((index, index)),
        }
    }
}

/// The number of passes (table B.4).
fn read_passes(bits: &mut HeaderBits<'_>) -> Result<u32, Error> {
    if bits.bit()? == 0 {
        return Ok(1);
    }
    if bits.bit()? == 0 {
        return Ok(2);
    }
    match bits.bits(2)? {
        3 => match bits.bits(5)? {
            31 => Ok(37 + bits.bits(7)?),
            more => Ok(6 + more),
        },
        more => Ok(3 + more),
    }
}

/// How many passes fit into the codeword segment that pass `done` lies in (table D.9; HT: 15444-15, B.3).
pub(crate) fn passes_left_in_segment(style: Style, done: u32) -> u32 {
    if style.high_throughput() {
        return if done == 0 { 1 } else { u32::MAX };
    }
    if style.terminates_each_pass() {
        return 1;
    }
    match (style.bypass(), done) {
        (false, _) => u32::MAX,
        (true, 0..10) => 10 - done,
        // Two raw passes, then a cleanup pass.
        (true, _) => match (done - 10) % 3 {
            0 => 2,
            _ => 1,
        },
    }
}
