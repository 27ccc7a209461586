//! The marker segments of a JPEG stream (annex B) up to its first scan.

use super::huffman::Table;
use crate::error::{ReadError, unexpected};

/// All that the one scan of the one component needs.
#[derive(Debug)]
pub(crate) struct Segments<'a> {
    pub precision: u32,
    pub rows: usize,
    pub columns: usize,
    /// Quantization table of the component, in zigzag order.
    pub quantization: [u16; 64],
    /// DC table, or that of the differences of a lossless scan.
    pub dc: Option<Table>,
    pub ac: Option<Table>,
    /// Number of blocks (lossless: samples) between restarts; 0 for none.
    pub restart_interval: usize,
    /// Ss: the predictor of a lossless scan.
    pub predictor: u8,
    /// Al: the point transform of a lossless scan.
    pub point_transform: u32,
    /// The entropy-coded data, to the end of the stream.
    pub coded: &'a [u8],
}

/// Tables as they are defined on the way to the scan, by destination.
struct Tables {
    quantization: [[u16; 64]; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    restart_interval: usize,
}

/// The frame header.
struct Frame {
    precision: u32,
    rows: usize,
    columns: usize,
    quantization: usize,
}

impl<'a> Segments<'a> {
    pub fn read(stream: &'a [u8]) -> Result<Self, ReadError> {
        let mut tables = Tables {
            quantization: [[0; 64]; 4],
            dc: Default::default(),
            ac: Default::default(),
            restart_interval: 0,
        };
        let mut frame = None;
        let mut at = 2;
        loop {
            let (marker, body, next) = segment(stream, at)?;
            at = next;
            match marker {
                0xC4 => tables.define_huffman(body)?,
                0xDB => tables.define_quantization(body)?,
                0xDD => tables.restart_interval = usize::from(u16_at(body, 0)?),
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF if frame.is_none() => {
                    frame = Some(Frame::read(body)?);
                }
                0xDA => {
                    let frame = frame.ok_or(ReadError::Missing("the frame header of the JPEG stream"))?;
                    return scan(frame, tables, body, &stream[at..]);
                }
                0xD9 => return Err(ReadError::Missing("the scan of the JPEG stream")),
                _ => {}
            }
        }
    }
}

/// The marker at `at`, the body of its segment, and where the next marker is.
fn segment(stream: &[u8], mut at: usize) -> Result<(u8, &[u8], usize), ReadError> {
    while let (Some(0xFF), Some(0xFF)) = (stream.get(at), stream.get(at + 1)) {
        at += 1;
    }
    match stream.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
        Some(&[0xFF, marker @ (0x01 | 0xD0..=0xD9)]) => Ok((marker, &[], at + 2)),
        Some(&[0xFF, marker]) => {
            let len = u16_at(stream, at + 2)? as usize;
            let body = stream.get(at + 4..at + 2 + len).ok_or_else(ends_early)?;
            Ok((marker, body, at + 2 + len))
        }
        Some(other) => {
            let found = format!("{:02X}{:02X}", other[0], other[1]);
            Err(unexpected("the JPEG stream", "a marker", found))
        }
        None => Err(ends_early()),
    }
}

fn ends_early() -> ReadError {
    ReadError::Truncated("the header of the JPEG stream")
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, ReadError> {
    let pair = bytes.get(at..).and_then(|rest| rest.first_chunk());
    pair.map(|&pair| u16::from_be_bytes(pair)).ok_or_else(ends_early)
}

fn u8_at(bytes: &[u8], at: usize) -> Result<u8, ReadError> {
    bytes.get(at).copied().ok_or_else(ends_early)
}

impl Frame {
    fn read(body: &[u8]) -> Result<Self, ReadError> {
        Ok(Self {
            precision: u32::from(u8_at(body, 0)?),
            rows: usize::from(u16_at(body, 1)?),
            columns: usize::from(u16_at(body, 3)?),
            quantization: usize::from(u8_at(body, 8)? & 3),
        })
    }
}

impl Tables {
    /// B.2.4.2: a class and destination, 16 counts, then the values, repeated.
    fn define_huffman(&mut self, mut body: &[u8]) -> Result<(), ReadError> {
        while let Some((&[head, ref counts @ ..], rest)) = body.split_first_chunk::<17>() {
            let total = counts.iter().map(|&n| usize::from(n)).sum();
            let (values, rest) = rest.split_at_checked(total).ok_or_else(ends_early)?;
            let table = Table::new(counts, values)?;
            let tables = if head >> 4 == 0 {
                &mut self.dc
            } else {
                &mut self.ac
            };
            tables[usize::from(head & 3)] = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// B.2.4.1: a precision and destination, then 64 values of one or two bytes, repeated.
    fn define_quantization(&mut self, mut body: &[u8]) -> Result<(), ReadError> {
        while let Some((&head, rest)) = body.split_first() {
            let size = if head >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * size).ok_or_else(ends_early)?;
            let table = &mut self.quantization[usize::from(head & 3)];
            for (slot, value) in table.iter_mut().zip(values.chunks_exact(size)) {
                *slot = value
                    .iter()
                    .fold(0, |number, &byte| number << 8 | u16::from(byte));
            }
            body = rest;
        }
        Ok(())
    }
}

/// B.2.3: the scan header of the one component.
fn scan<'a>(frame: Frame, tables: Tables, body: &[u8], coded: &'a [u8]) -> Result<Segments<'a>, ReadError> {
    let Tables {
        quantization,
        mut dc,
        mut ac,
        restart_interval,
    } = tables;
    let components = u8_at(body, 0)?;
    if components != 1 {
        return Err(unexpected("the components of the JPEG scan", "1", components));
    }
    let destinations = u8_at(body, 2)?;
    Ok(Segments {
        precision: frame.precision,
        rows: frame.rows,
        columns: frame.columns,
        quantization: quantization[frame.quantization],
        dc: dc[usize::from(destinations >> 4 & 3)].take(),
        ac: ac[usize::from(destinations & 3)].take(),
        restart_interval,
        predictor: u8_at(body, 3)?,
        point_transform: u32::from(u8_at(body, 5)? & 15),
        coded,
    })
}
