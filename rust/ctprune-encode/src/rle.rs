//! RLE Lossless (DICOM PS3.5 Annex G): byte planes, most significant first, each packed per row as PackBits.

use super::{Frame, Samples};

/// RLE Lossless.
pub const UID: &str = "1.2.840.10008.1.2.5";

/// A run or a literal holds at most this many bytes.
const LONGEST: usize = 128;
const HEADER_BYTES: usize = 64;

/// Encodes one frame: a header of 16 little-endian words (count, then offset of each segment), then the
/// segments.
pub fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let planes = byte_planes(frame.samples);
    let mut header = [0u32; HEADER_BYTES / 4];
    header[0] = planes.len() as u32;
    let mut body = Vec::new();
    for (index, plane) in planes.iter().enumerate() {
        header[index + 1] = (HEADER_BYTES + body.len()) as u32;
        // G.3.1: rows are encoded separately, no run crosses from one to the next.
        for row in plane.chunks_exact(usize::from(frame.columns)) {
            pack_row(row, &mut body);
        }
        // G.4.1: every segment has an even length.
        if body.len() % 2 == 1 {
            body.push(0);
        }
    }
    let mut encoded: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    encoded.extend_from_slice(&body);
    encoded
}

fn byte_planes(samples: Samples<'_>) -> Vec<Vec<u8>> {
    match samples {
        Samples::U8(s) => vec![s.to_vec()],
        Samples::U16(s) => vec![
            s.iter().map(|v| v.to_be_bytes()[0]).collect(),
            s.iter().map(|v| v.to_be_bytes()[1]).collect(),
        ],
    }
}

/// PackBits: `n` in 0..=127 announces n + 1 literal bytes, `256 - n` announces n + 1 copies of the next byte.
fn pack_row(row: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < row.len() {
        let run = run_length(&row[at..]);
        if run >= 2 {
            out.extend([(257 - run) as u8, row[at]]);
            at += run;
        } else {
            let length = literal_length(&row[at..]);
            out.push((length - 1) as u8);
            out.extend_from_slice(&row[at..at + length]);
            at += length;
        }
    }
}

fn run_length(bytes: &[u8]) -> usize {
    bytes.iter().take(LONGEST).take_while(|&&b| b == bytes[0]).count()
}

/// Bytes until a run of three begins: breaking a literal for a run of two saves nothing.
fn literal_length(bytes: &[u8]) -> usize {
    let end = bytes.len().min(LONGEST);
    (1..end)
        .find(|&i| bytes[i..].len() >= 3 && run_length(&bytes[i..]) >= 3)
        .unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_frames;

    /// The plain reading of Annex G.
    fn decode(encoded: &[u8], pixels: usize) -> Vec<u16> {
        let word = |i: usize| u32::from_le_bytes(encoded[4 * i..4 * i + 4].try_into().unwrap()) as usize;
        let mut values = vec![0u16; pixels];
        for segment in 0..word(0) {
            let (mut at, mut done) = (word(segment + 1), 0);
            while done < pixels {
                let control = encoded[at] as i8;
                let (count, copies) = if control >= 0 {
                    (control as usize + 1, false)
                } else {
                    ((1 - i16::from(control)) as usize, true)
                };
                for k in 0..count {
                    let byte = encoded[at + 1 + if copies { 0 } else { k }];
                    values[done] = values[done] << 8 | u16::from(byte);
                    done += 1;
                }
                at += 1 + if copies { 1 } else { count };
            }
        }
        values
    }

    #[test]
    fn frames_survive_the_round_trip() {
        test_frames::for_each(|frame| {
            let encoded = encode(frame);
            assert_eq!(encoded.len() % 2, 0);
            let pixels = usize::from(frame.rows) * usize::from(frame.columns);
            assert_eq!(decode(&encoded, pixels), frame.words());
        });
    }

    #[test]
    fn a_flat_row_is_two_bytes_per_128() {
        let mut out = Vec::new();
        pack_row(&[7; 256], &mut out);
        assert_eq!(out, [129, 7, 129, 7]);
    }
}
