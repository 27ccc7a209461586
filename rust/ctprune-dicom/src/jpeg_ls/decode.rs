//! A stream's segments up to its scan (annex C), and the samples of that.

use super::parameters::{Parameters, Preset};
use super::scan;
use crate::code::Code;
use crate::error::{ReadError, unexpected};
use crate::slice::Refusal;

/// Decodes a stream of `rows × columns` samples of `precision` bits into `target`: samples of one byte up to 8
/// bits, else of two in this machine's byte order.
///
/// # Errors
///
/// [`Refusal::Unsupported`] for a mapping table or restart intervals, [`Refusal::Failed`] for a broken stream.
pub fn decode(stream: &[u8], columns: usize, precision: u32, target: &mut [u8]) -> Result<(), Refusal> {
    let (parameters, coded) = read_header(stream, precision)?;
    let size = if precision <= 8 { 1 } else { 2 };
    scan::decode(&parameters, coded, columns, |row, samples| {
        let line = &mut target[row * columns * size..][..columns * size];
        if size == 1 {
            line.iter_mut()
                .zip(samples)
                .for_each(|(out, &sample)| *out = sample as u8);
        } else {
            let line = line.as_chunks_mut::<2>().0;
            line.iter_mut()
                .zip(samples)
                .for_each(|(out, &sample)| *out = (sample as u16).to_ne_bytes());
        }
        (row + 1) * columns * size < target.len()
    })?;
    Ok(())
}

/// Reads the segments up to the scan header; returns the coding parameters and the entropy-coded data.
fn read_header(stream: &[u8], precision: u32) -> Result<(Parameters, &[u8]), Refusal> {
    let early = || ReadError::Truncated("the header of the JPEG-LS stream");
    let mut preset = Preset::default();
    let mut at = 2;
    loop {
        let &[first, marker] = stream
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .ok_or_else(early)?;
        match (first, marker) {
            (0xFF, 0xFF) => at += 1,
            (0xFF, 0x01 | 0xD0..=0xD8) => at += 2,
            (0xFF, _) => {
                let length = stream
                    .get(at + 2..)
                    .and_then(|rest| rest.first_chunk())
                    .ok_or_else(early)?;
                let end = at + 2 + usize::from(u16::from_be_bytes(*length));
                let body = stream.get(at + 4..end).ok_or_else(early)?;
                match marker {
                    0xF8 => preset.read(body),
                    0xDD if body.iter().any(|&b| b != 0) => {
                        return Err(Refusal::unsupported(
                            Code::Unsupported,
                            "JPEG-LS with restart intervals",
                        ));
                    }
                    0xDA => {
                        return Ok((
                            Parameters::new(precision, scan_near(body)?, preset)?,
                            &stream[end..],
                        ));
                    }
                    _ => {}
                }
                at = end;
            }
            _ => {
                let found = format!("{first:02X}{marker:02X}");
                return Err(unexpected("the JPEG-LS stream", "a marker", found).into());
            }
        }
    }
}

/// The scan header (C.2.3) of one component: the NEAR parameter.
fn scan_near(body: &[u8]) -> Result<u32, Refusal> {
    match *body {
        [1, _, 0, near, _, 0] => Ok(u32::from(near)),
        [1, _, 0, _, _, transform] => {
            Err(unexpected("the point transform of the JPEG-LS scan", "0", transform).into())
        }
        [1, _, _, ..] => Err(Refusal::unsupported(
            Code::Unsupported,
            "JPEG-LS with a mapping table",
        )),
        _ => {
            let components = body.first().copied().unwrap_or(0);
            Err(unexpected("the components of the JPEG-LS scan", "1", components).into())
        }
    }
}
