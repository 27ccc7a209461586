//! JPEG-LS lossless (ITU-T T.87) by CharLS.

use charls::{CharLS, FrameInfo};

use super::{EncodeError, Frame};

/// JPEG-LS Lossless Image Compression.
pub const UID: &str = "1.2.840.10008.1.2.4.80";

/// Encodes one frame; the codestream's precision is BitsStored.
pub fn encode(frame: &Frame<'_>) -> Result<Vec<u8>, EncodeError> {
    let info = FrameInfo {
        width: frame.columns.into(),
        height: frame.rows.into(),
        bits_per_sample: frame.bits_stored.into(),
        component_count: 1,
    };
    let words = frame.words();
    // CharLS takes samples of up to 8 bits as bytes, wider ones as words of the machine's order.
    let bytes: Vec<u8> = if frame.bits_stored <= 8 {
        words.iter().map(|&word| word as u8).collect()
    } else {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    };
    CharLS::default()
        .encode(info, 0, &bytes)
        .map_err(|error| EncodeError::JpegLs(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::test_frames;

    #[test]
    fn frames_survive_the_round_trip() {
        test_frames::for_each(|frame| {
            let decoded = CharLS::default().decode(&encode(frame).unwrap()).unwrap();
            let values: Vec<u16> = if frame.bits_stored <= 8 {
                decoded.iter().map(|&byte| byte.into()).collect()
            } else {
                decoded
                    .chunks_exact(2)
                    .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
                    .collect()
            };
            assert_eq!(values, frame.words());
        });
    }
}
