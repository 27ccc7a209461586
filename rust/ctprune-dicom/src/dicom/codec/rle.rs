//! RLE Lossless (PS3.5 annex G): PackBits per byte plane, most significant plane first.

use std::ops::Range;

use crate::error::{ReadError, unexpected};

/// Bytes of the header: the number of segments and fifteen offsets.
const HEADER: usize = 64;

/// Most bytes that one control byte stands for. They are written up to their longest with a few wide stores
/// rather than to their end byte by byte: most are short, and where they end can hardly be predicted.
const LONGEST: usize = 128;

/// Bytes that [`decode`] needs beside its target.
pub(crate) fn scratch_bytes(pixels: usize, size: usize) -> usize {
    size * (pixels + LONGEST)
}

/// Decodes one frame of single-sample pixels of `size` bytes into `target`, in this machine's byte order;
/// `scratch` has [`scratch_bytes`].
pub(crate) fn decode(
    frame: &[u8],
    size: usize,
    target: &mut [u8],
    scratch: &mut [u8],
) -> Result<(), ReadError> {
    let header = frame.get(..HEADER).ok_or(ReadError::TooFew {
        what: "the RLE header".into(),
        unit: "byte",
        expected: HEADER as u64,
        found: frame.len() as u64,
    })?;
    let numbers = header.as_chunks::<4>().0;
    let segments = u32::from_le_bytes(numbers[0]) as usize;
    if segments != size {
        return Err(unexpected(
            format!("the RLE segments of {size}-byte pixels"),
            size.to_string(),
            segments,
        ));
    }
    let offset = |segment: usize| u32::from_le_bytes(numbers[1 + segment]) as usize;
    let pixels = target.len() / size;
    for (segment, plane) in scratch.chunks_exact_mut(pixels + LONGEST).take(size).enumerate() {
        let end = if segment + 1 < size {
            offset(segment + 1).min(frame.len())
        } else {
            frame.len()
        };
        let packed = frame.get(offset(segment)..end);
        let packed = packed.ok_or_else(|| {
            let expected = format!("an offset within {} bytes", frame.len());
            unexpected(format!("RLE segment {segment}"), expected, offset(segment))
        })?;
        let written = unpack(packed, plane, pixels);
        if written < pixels {
            return Err(ReadError::TooFew {
                what: format!("RLE segment {segment}").into(),
                unit: "byte",
                expected: pixels as u64,
                found: written as u64,
            });
        }
    }
    interleave(scratch, size, target);
    Ok(())
}

/// Unpacks up to `wanted` bytes into `plane`, which has room for [`LONGEST`] more; returns how many there
/// were. What is too much is left out: segments are padded to even length.
fn unpack(packed: &[u8], plane: &mut [u8], wanted: usize) -> usize {
    let (mut from, mut written) = (0, 0);
    while written < wanted {
        let Some(&control) = packed.get(from) else { break };
        let Some(out) = plane[written..].first_chunk_mut::<LONGEST>() else {
            break;
        };
        from += 1;
        match control {
            // Annex G.3.1: n + 1 literal bytes.
            0..=127 => {
                let count = usize::from(control) + 1;
                let rest = &packed[from..];
                if let Some(literal) = rest.first_chunk::<LONGEST>() {
                    each_part(count, |part| out[part.clone()].copy_from_slice(&literal[part]));
                    from += count;
                    written += count;
                } else {
                    let count = count.min(rest.len());
                    out[..count].copy_from_slice(&rest[..count]);
                    from += count;
                    written += count;
                }
            }
            // The next byte, 257 − n times.
            129.. => {
                let Some(&byte) = packed.get(from) else { break };
                let count = 257 - usize::from(control);
                each_part(count, |part| out[part].fill(byte));
                from += 1;
                written += count;
            }
            128 => {}
        }
    }
    written.min(wanted)
}

/// Parts of fixed size that together cover `0..count` at least, and [`LONGEST`] at most.
#[inline(always)]
fn each_part(count: usize, mut act: impl FnMut(Range<usize>)) {
    act(0..16);
    if count > 16 {
        act(16..48);
        if count > 48 {
            act(48..LONGEST);
        }
    }
}

/// Planes, the most significant first, to samples.
fn interleave(planes: &[u8], size: usize, target: &mut [u8]) {
    let pixels = target.len() / size;
    let plane = |number: usize| &planes[number * (pixels + LONGEST)..][..pixels];
    match size {
        1 => target.copy_from_slice(plane(0)),
        2 => {
            let samples = target.as_chunks_mut::<2>().0.iter_mut();
            for ((sample, &high), &low) in samples.zip(plane(0)).zip(plane(1)) {
                *sample = u16::from_be_bytes([high, low]).to_ne_bytes();
            }
        }
        _ => {
            for number in 0..size {
                let offset = if cfg!(target_endian = "big") {
                    number
                } else {
                    size - 1 - number
                };
                let bytes = target[offset..].iter_mut().step_by(size);
                bytes.zip(plane(number)).for_each(|(out, &byte)| *out = byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Annex G.4.2, as it is written.
    fn unpack_naive(packed: &[u8], room: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bytes = packed.iter().copied();
        while let Some(control) = bytes.next().filter(|_| out.len() < room) {
            match control as i8 {
                -128 => {}
                n if n >= 0 => out.extend(bytes.by_ref().take(n as usize + 1)),
                n => out.extend(
                    bytes
                        .next()
                        .into_iter()
                        .flat_map(|byte| vec![byte; (1 - isize::from(n)) as usize]),
                ),
            }
        }
        out.truncate(room);
        out
    }

    #[test]
    fn every_size_decodes_like_the_naive_way() {
        let mut seed = 3u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed
        };
        for len in 0..600 {
            let mut packed = || -> Vec<u8> {
                // Small controls often, so that many of them are met.
                let byte = |word: u32| match word >> 31 {
                    0 => (word >> 24) as u8 % 5,
                    _ => (word >> 16) as u8,
                };
                (0..len).map(|_| byte(random())).collect()
            };
            for size in [1, 2, 4] {
                let pixels = 1 + len * 7 % 500;
                let segments: Vec<Vec<u8>> = (0..size).map(|_| packed()).collect();
                let planes: Vec<Vec<u8>> = segments.iter().map(|s| unpack_naive(s, pixels)).collect();
                let mut frame = vec![0; HEADER];
                frame[0] = size as u8;
                for (number, segment) in segments.iter().enumerate() {
                    let offset = (frame.len() as u32).to_le_bytes();
                    frame[4 + 4 * number..][..4].copy_from_slice(&offset);
                    frame.extend(segment);
                }
                // What an earlier frame left must not show.
                let mut target = vec![0xAA; pixels * size];
                let mut scratch = vec![0xAA; scratch_bytes(pixels, size)];
                let result = decode(&frame, size, &mut target, &mut scratch);
                assert_eq!(result.is_ok(), planes.iter().all(|plane| plane.len() == pixels));
                if result.is_ok() {
                    let samples = target.chunks_exact(size).enumerate();
                    for (pixel, sample) in samples {
                        let mut bytes: Vec<u8> = planes.iter().map(|plane| plane[pixel]).collect();
                        if cfg!(target_endian = "little") {
                            bytes.reverse();
                        }
                        assert_eq!(sample, bytes);
                    }
                }
            }
        }
    }

    #[test]
    fn a_segment_that_ends_within_a_run_gives_what_is_there() {
        let mut plane = [0; 10 + LONGEST];
        assert_eq!(unpack(&[2, 7, 8], &mut plane, 10), 2);
        assert_eq!(plane[..2], [7, 8]);
        assert_eq!(unpack(&[0xFE], &mut plane, 10), 0);
        assert_eq!(unpack(&[0xFE, 9, 0x80, 0, 1], &mut plane, 10), 4);
        assert_eq!(plane[..4], [9, 9, 9, 1]);
    }
}
