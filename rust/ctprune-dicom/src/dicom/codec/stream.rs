//! What a compressed stream says of itself, read before a codec sees it.

use super::Expected;
use crate::code::Code;
use crate::dicom::stored::Sample;
use crate::error::unexpected;
use crate::slice::Refusal;

/// Size and sample format declared by a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub rows: u32,
    pub columns: u32,
    pub components: u32,
    /// Bits per sample.
    pub precision: u32,
    /// Samples are signed; only JPEG 2000 can say so.
    pub signed: bool,
}

impl Stream {
    /// The stream itself, if it holds one component of the announced size and of 16 bits or less.
    pub fn checked(self, name: &str, expected: &Expected) -> Result<Self, Refusal> {
        let (rows, columns) = (expected.rows, expected.columns);
        if (self.rows, self.columns) != (rows, columns) {
            return Err(unexpected(
                format!("the size of the {name} stream"),
                format!("{rows} × {columns}"),
                format!("{} × {}", self.rows, self.columns),
            )
            .into());
        }
        if self.components != 1 {
            let what = format!("the components of the {name} stream");
            return Err(unexpected(what, "1", self.components).into());
        }
        if !(1..=16).contains(&self.precision) {
            let precision = self.precision;
            // As many as the data set announces: the stream is right, and beyond what is decoded here.
            return Err(match expected.sample {
                Sample::Integer { stored, .. } if stored == precision => {
                    Refusal::unsupported(Code::Unsupported, format!("a {name} stream of {precision} bits"))
                }
                _ => unexpected(
                    format!("the depth of the {name} stream"),
                    "1 to 16 bits",
                    precision,
                )
                .into(),
            });
        }
        Ok(self)
    }

    /// Bytes that a sample of this precision takes.
    pub fn sample_bytes(self) -> usize {
        if self.precision <= 8 { 1 } else { 2 }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|&b| u32::from(u16::from_be_bytes(b)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&b| u32::from_be_bytes(b))
}

/// The frame header of a JPEG or JPEG-LS stream: its marker (SOF), and what it says.
pub(crate) fn jpeg(bytes: &[u8]) -> Option<(u8, Stream)> {
    let mut at = 2;
    while let &[0xFF, marker] = bytes.get(at..)?.first_chunk::<2>()? {
        match marker {
            // Fill byte, and markers without a segment.
            0xFF => at += 1,
            0x01 | 0xD0..=0xD8 => at += 2,
            // Frame headers: of JPEG (without DHT, JPG and DAC, which lie between them) and of JPEG-LS.
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => {
                let stream = Stream {
                    precision: u32::from(*bytes.get(at + 4)?),
                    rows: u16_at(bytes, at + 5)?,
                    columns: u16_at(bytes, at + 7)?,
                    components: u32::from(*bytes.get(at + 9)?),
                    signed: false,
                };
                return Some((marker, stream));
            }
            _ => at += 2 + u16_at(bytes, at + 2)? as usize,
        }
    }
    None
}

/// The codestream in `bytes`, without the boxes of a JP2 file around it, which some writers leave there. It
/// alone is given to the decoder, so that this is the one that [`jpeg2000`] has looked at.
pub(crate) fn jpeg2000_codestream(bytes: &[u8]) -> Option<&[u8]> {
    const SOC_SIZ: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
    /// JP2 boxes before the codestream take some hundred bytes, with a color profile some thousand.
    const BOXES: usize = 1 << 16;
    let head = &bytes[..bytes.len().min(BOXES)];
    let start = head.windows(4).position(|w| w == SOC_SIZ)?;
    Some(&bytes[start..])
}

/// The SIZ segment of a JPEG 2000 codestream (ISO/IEC 15444-1 A.5.1).
pub(crate) fn jpeg2000(codestream: &[u8]) -> Option<Stream> {
    let siz = codestream.get(4..)?;
    let field = |n: usize| u32_at(siz, 4 + 4 * n);
    let (width, height, left, top) = (field(0)?, field(1)?, field(2)?, field(3)?);
    let components = u16_at(siz, 36)?;
    let &[depth, step_x, step_y] = siz.get(38..)?.first_chunk()?;
    // A subsampled component is smaller than the image: no slice is.
    let columns = if step_x == 1 { width.checked_sub(left)? } else { 0 };
    let rows = if step_y == 1 { height.checked_sub(top)? } else { 0 };
    let precision = u32::from(depth & 0x7F) + 1;
    Some(Stream {
        rows,
        columns,
        components,
        precision,
        signed: depth & 0x80 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_ls_frame_header_is_found_behind_other_segments() {
        let bytes = b"\xFF\xD8\xFF\xE0\x00\x04ab\xFF\xFF\xF7\x00\x0B\x0C\x00\x03\x00\x05\x01\x01\x11\x00";
        let stream = Stream {
            rows: 3,
            columns: 5,
            components: 1,
            precision: 12,
            signed: false,
        };
        assert_eq!(jpeg(bytes), Some((0xF7, stream)));
        assert_eq!(jpeg(&bytes[..16]), None);
        assert_eq!(jpeg(b""), None);
    }

    #[test]
    fn the_size_of_a_jpeg_2000_stream_is_read() {
        let mut bytes = b"\xFF\x4F\xFF\x51\x00\x29\x00\x00".to_vec();
        for field in [7u32, 4, 2, 1, 7, 4, 0, 0] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend([0, 1, 0x8B, 1, 1]);
        let stream = Stream {
            rows: 3,
            columns: 5,
            components: 1,
            precision: 12,
            signed: true,
        };
        assert_eq!(jpeg2000(&bytes), Some(stream));
        assert_eq!(jpeg2000(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn what_a_slice_cannot_be_is_refused() {
        let stream = Stream {
            rows: 3,
            columns: 5,
            components: 1,
            precision: 12,
            signed: false,
        };
        let expected = |rows, columns, stored| Expected {
            rows,
            columns,
            sample: Sample::low_bits(4, stored, false),
        };
        assert_eq!(stream.checked("JPEG-LS", &expected(3, 5, 12)), Ok(stream));
        assert!(stream.checked("JPEG-LS", &expected(5, 3, 12)).is_err());
        assert!(
            Stream {
                components: 3,
                ..stream
            }
            .checked("JPEG-LS", &expected(3, 5, 12))
            .is_err()
        );
        let wide = Stream {
            precision: 24,
            ..stream
        };
        let broken = wide.checked("JPEG 2000", &expected(3, 5, 12));
        assert!(matches!(broken, Err(Refusal::Failed(_))), "{broken:?}");
        let unsupported = wide.checked("JPEG 2000", &expected(3, 5, 24));
        assert!(
            matches!(unsupported, Err(Refusal::Unsupported(_))),
            "{unsupported:?}"
        );
    }
}
