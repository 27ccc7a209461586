//! RLE Lossless (PS3.5 annex G): PackBits per byte plane, most significant plane first.

/// Bytes of the header: the number of segments and fifteen offsets.
const HEADER: usize = 64;

/// Decodes one frame of single-sample pixels of `size` bytes into `target`, in this machine's byte order.
///
/// Each plane is unpacked straight to its place between the bytes of the other planes.
pub(crate) fn decode(frame: &[u8], size: usize, target: &mut [u8]) -> Result<(), String> {
    let header = frame.get(..HEADER).ok_or_else(|| {
        format!(
            "an RLE frame begins with a header of {HEADER} bytes, {} are there",
            frame.len()
        )
    })?;
    let numbers = header.as_chunks::<4>().0;
    let segments = u32::from_le_bytes(numbers[0]) as usize;
    if segments != size {
        return Err(format!(
            "an RLE frame of {size} bytes per pixel has {size} segments, this has {segments}"
        ));
    }
    let offset = |segment: usize| u32::from_le_bytes(numbers[1 + segment]) as usize;
    for segment in 0..size {
        let end = if segment + 1 < size {
            offset(segment + 1).min(frame.len())
        } else {
            frame.len()
        };
        let packed = frame.get(offset(segment)..end);
        let packed = packed.ok_or_else(|| format!("RLE segment {segment} lies outside the frame"))?;
        let plane = if cfg!(target_endian = "big") {
            segment
        } else {
            size - 1 - segment
        };
        let written = unpack(packed, &mut target[plane..], size);
        let wanted = target.len() / size;
        if written < wanted {
            return Err(format!(
                "RLE segment {segment} should give {wanted} bytes, it gives {written}"
            ));
        }
    }
    Ok(())
}

/// Unpacks into every `step`th byte of `target`; returns how many were written. What is too much is left out:
/// segments are padded to even length.
fn unpack(packed: &[u8], target: &mut [u8], step: usize) -> usize {
    match step {
        1 => unpack_step::<1>(packed, target),
        2 => unpack_step::<2>(packed, target),
        _ => unpack_step::<4>(packed, target),
    }
}

fn unpack_step<const STEP: usize>(packed: &[u8], target: &mut [u8]) -> usize {
    let room = target.len().div_ceil(STEP);
    let (mut from, mut written) = (0, 0);
    while written < room && from < packed.len() {
        let control = packed[from];
        from += 1;
        match control {
            // Annex G.3.1: n + 1 literal bytes.
            0..=127 => {
                let count = (usize::from(control) + 1)
                    .min(room - written)
                    .min(packed.len() - from);
                let places = target[written * STEP..].iter_mut().step_by(STEP);
                places
                    .zip(&packed[from..from + count])
                    .for_each(|(place, &byte)| *place = byte);
                from += count;
                written += count;
            }
            // The next byte, 257 − n times.
            129.. => {
                let Some(&byte) = packed.get(from) else { break };
                let count = (257 - usize::from(control)).min(room - written);
                let places = target[written * STEP..].iter_mut().step_by(STEP).take(count);
                places.for_each(|place| *place = byte);
                from += 1;
                written += count;
            }
            128 => {}
        }
    }
    written
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
    fn every_step_unpacks_like_the_naive_way() {
        let mut seed = 3u32;
        for len in 0..300 {
            let packed: Vec<u8> = (0..len)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Small controls often, so that many of them are met.
                    if seed >> 31 == 0 {
                        (seed >> 24) as u8 % 5
                    } else {
                        (seed >> 16) as u8
                    }
                })
                .collect();
            for step in [1, 2, 4] {
                let room = 1 + len * 7 % 500;
                let expected = unpack_naive(&packed, room);
                let mut target = vec![0; room * step];
                assert_eq!(unpack(&packed, &mut target, step), expected.len());
                let found: Vec<u8> = target.into_iter().step_by(step).take(expected.len()).collect();
                assert_eq!(found, expected);
            }
        }
    }
}
