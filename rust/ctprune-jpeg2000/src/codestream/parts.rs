//! Main header and tile-parts (ISO/IEC 15444-1 A.3 and A.4).

use std::borrow::Cow;

use super::coding::{Coding, ProgressionChange};
use super::quantization::Quantization;
use super::reader::Reader;
use super::size::Size;
use crate::Error;

const SOC: u16 = 0xFF4F;
const SIZ: u16 = 0xFF51;
const COD: u16 = 0xFF52;
const COC: u16 = 0xFF53;
const QCD: u16 = 0xFF5C;
const QCC: u16 = 0xFF5D;
const RGN: u16 = 0xFF5E;
const POC: u16 = 0xFF5F;
const PPM: u16 = 0xFF60;
const PPT: u16 = 0xFF61;
const SOT: u16 = 0xFF90;
const SOD: u16 = 0xFF93;
const EOC: u16 = 0xFFD9;

/// More tiles than this, and their bookkeeping would outweigh the image.
const MOST_TILES: u64 = 1 << 14;

/// What a header says; a tile's starts as a copy of the main one.
#[derive(Clone, Debug, Default)]
struct Header {
    cod: Option<Coding>,
    qcd: Option<Quantization>,
    /// A QCC was read in this header: its QCD says nothing more.
    qcc_read: bool,
    /// Changes of the progression order, and whether they were read in this header.
    changes: Vec<ProgressionChange>,
    poc_read: bool,
    /// Bit-planes by which a region of interest is raised (annex H).
    roi_shift: u8,
}

/// All tile-parts of one tile.
#[derive(Debug)]
pub(crate) struct TileStream<'a> {
    pub coding: Coding,
    pub quantization: Quantization,
    pub changes: Vec<ProgressionChange>,
    pub roi_shift: u8,
    pub packets: Cow<'a, [u8]>,
}

/// A codestream taken apart.
#[derive(Debug)]
pub(crate) struct Codestream<'a> {
    pub size: Size,
    /// In order; every tile is there.
    pub tiles: Vec<TileStream<'a>>,
}

impl<'a> Codestream<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        if (reader.u16()?, reader.u16()?) != (SOC, SIZ) {
            return Err(Error::Malformed("no SOC and SIZ at its start"));
        }
        let size = Size::read(reader.segment()?)?;
        if size.tiles() > MOST_TILES {
            return Err(Error::Unsupported("more than 16384 tiles"));
        }
        let mut main = Header::default();
        while main.read(&mut reader, SOT)? {}
        let mut tiles: Vec<Option<TileStream<'a>>> = Vec::new();
        tiles.resize_with(size.tiles() as usize, || None);
        read_part(&mut reader, &main, &mut tiles)?;
        while !reader.0.is_empty() && reader.u16()? == SOT {
            read_part(&mut reader, &main, &mut tiles)?;
        }
        let tiles = tiles.into_iter().collect::<Option<_>>().ok_or(Error::Truncated)?;
        Ok(Codestream { size, tiles })
    }
}

impl Header {
    /// Reads the next marker segment; false at `end`, which is consumed.
    fn read(&mut self, reader: &mut Reader<'_>, end: u16) -> Result<bool, Error> {
        let marker = reader.u16()?;
        if marker == end {
            return Ok(false);
        }
        if !(0xFF50..=0xFF6F).contains(&marker) {
            return Err(Error::Malformed("a marker that does not belong in a header"));
        }
        let segment = reader.segment()?;
        match marker {
            // A COD stands before any COC, and a tile's COD is over the main header's COC.
            COD => self.cod = Some(Coding::read(segment)?),
            COC => {
                let cod = self.cod.as_mut().ok_or(Error::Malformed("a COC before COD"))?;
                cod.read_coc(segment)?;
            }
            QCD if !self.qcc_read => self.qcd = Some(Quantization::read(segment)?),
            QCD => {}
            QCC => {
                self.qcd = Some(Quantization::read_qcc(segment)?);
                self.qcc_read = true;
            }
            SIZ => return Err(Error::Malformed("a second SIZ")),
            RGN => match *segment.0 {
                // The first component, maximum shift, by so much.
                [0, 0, shift, ..] => self.roi_shift = shift,
                _ => return Err(Error::Malformed("a region of interest of another kind")),
            },
            POC => {
                // Over those of the main header; several of a tile add up.
                if !std::mem::replace(&mut self.poc_read, true) {
                    self.changes.clear();
                }
                ProgressionChange::read_all(segment, &mut self.changes)?;
            }
            PPM | PPT => return Err(Error::Unsupported("packed packet headers")),
            // Capabilities, lengths, comments.
            _ => {}
        }
        Ok(true)
    }
}

/// One tile-part, behind its SOT marker (A.4.2).
fn read_part<'a>(
    reader: &mut Reader<'a>,
    main: &Header,
    tiles: &mut [Option<TileStream<'a>>],
) -> Result<(), Error> {
    // The length counts from the marker's first byte.
    let part = Reader(reader.0);
    let mut sot = reader.segment()?;
    let (index, length) = (usize::from(sot.u16()?), sot.u32()? as usize);
    let mut header = main.clone();
    // What a tile says is over all that the main header says, for its components too.
    (header.qcc_read, header.poc_read) = (false, false);
    while header.read(reader, SOD)? {}
    let header_length = part.0.len() - reader.0.len();
    let packets = match length {
        // The last tile-part may leave its length open.
        0 => {
            let body = reader.0.strip_suffix(&EOC.to_be_bytes()).unwrap_or(reader.0);
            reader.take(body.len())?
        }
        _ => {
            let body = length
                .checked_sub(2 + header_length)
                .ok_or(Error::Malformed("a tile-part shorter than its header"))?;
            reader.take(body)?
        }
    };
    let tile = tiles
        .get_mut(index)
        .ok_or(Error::Malformed("a tile outside the image"))?;
    match tile {
        Some(tile) => {
            tile.packets.to_mut().extend_from_slice(packets);
            if header.poc_read {
                tile.changes.append(&mut header.changes);
            }
        }
        None => {
            *tile = Some(TileStream {
                coding: header.cod.ok_or(Error::Malformed("no COD"))?,
                quantization: header.qcd.ok_or(Error::Malformed("no QCD"))?,
                changes: header.changes,
                roi_shift: header.roi_shift,
                packets: Cow::Borrowed(packets),
            })
        }
    }
    Ok(())
}
