//! The marker segments of a JPEG stream (annex B) up to its first scan.

use super::huffman::Table;

/// How the samples are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    /// SOF0, SOF1: sequential DCT with Huffman coding.
    Sequential,
    /// SOF3: lossless with Huffman coding.
    Lossless,
    /// Anything else.
    Other,
}

/// All that the one scan of the one component needs.
#[derive(Debug)]
pub(crate) struct Segments<'a> {
    pub process: Process,
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
    process: Process,
    precision: u32,
    rows: usize,
    columns: usize,
    quantization: usize,
}

impl<'a> Segments<'a> {
    pub fn read(stream: &'a [u8]) -> Result<Self, String> {
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
                    frame = Some(Frame::read(marker, body)?);
                }
                0xDA => {
                    let frame = frame.ok_or("the JPEG stream has a scan before its frame header")?;
                    return scan(frame, tables, body, &stream[at..]);
                }
                0xD9 => return Err("the JPEG stream ends without a scan".into()),
                _ => {}
            }
        }
    }
}

/// The marker at `at`, the body of its segment, and where the next marker is.
fn segment(stream: &[u8], mut at: usize) -> Result<(u8, &[u8], usize), String> {
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
        Some(other) => Err(format!(
            "a JPEG marker was expected, {:02X}{:02X} was found",
            other[0], other[1]
        )),
        None => Err(ends_early()),
    }
}

fn ends_early() -> String {
    "the JPEG stream ends inside its header".into()
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    let pair = bytes.get(at..).and_then(|rest| rest.first_chunk());
    pair.map(|&pair| u16::from_be_bytes(pair)).ok_or_else(ends_early)
}

fn u8_at(bytes: &[u8], at: usize) -> Result<u8, String> {
    bytes.get(at).copied().ok_or_else(ends_early)
}

impl Frame {
    fn read(marker: u8, body: &[u8]) -> Result<Self, String> {
        let precision = u32::from(u8_at(body, 0)?);
        let process = match (marker, precision) {
            (0xC0 | 0xC1, 8 | 12) => Process::Sequential,
            (0xC3, 2..=16) => Process::Lossless,
            _ => Process::Other,
        };
        Ok(Self {
            process,
            precision,
            rows: usize::from(u16_at(body, 1)?),
            columns: usize::from(u16_at(body, 3)?),
            quantization: usize::from(u8_at(body, 8)? & 3),
        })
    }
}

impl Tables {
    /// B.2.4.2: a class and destination, 16 counts, then the values, repeated.
    fn define_huffman(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let Some((&[place, ref counts @ ..], rest)) = body.split_first_chunk::<17>() {
            let total = counts.iter().map(|&n| usize::from(n)).sum();
            let (values, rest) = rest.split_at_checked(total).ok_or_else(ends_early)?;
            let table = Table::new(counts, values)?;
            let tables = if place >> 4 == 0 {
                &mut self.dc
            } else {
                &mut self.ac
            };
            tables[usize::from(place & 3)] = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// B.2.4.1: a precision and destination, then 64 values of one or two bytes, repeated.
    fn define_quantization(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let Some((&place, rest)) = body.split_first() {
            let size = if place >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * size).ok_or_else(ends_early)?;
            let table = &mut self.quantization[usize::from(place & 3)];
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
fn scan<'a>(frame: Frame, tables: Tables, body: &[u8], coded: &'a [u8]) -> Result<Segments<'a>, String> {
    let Tables {
        quantization,
        mut dc,
        mut ac,
        restart_interval,
    } = tables;
    if u8_at(body, 0)? != 1 {
        return Err("a JPEG scan of one component was expected".into());
    }
    let destinations = u8_at(body, 2)?;
    Ok(Segments {
        process: frame.process,
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
