//! Lossless pixel encoders: one gray frame in, one compressed frame as DICOM encapsulates it out.
//!
//! They write the phantom and the fixtures of the readers' tests; they favor being easy to check over the last
//! percent of compression.

mod bits;
#[cfg(test)]
#[path = "../../ctprune-dicom/tests/dicom/charls.rs"]
mod charls;
mod huffman;
pub mod jpeg_lossless;
pub mod jpeg_ls;
pub mod rle;
#[cfg(test)]
mod test_frames;

use std::fmt;

/// Stored values of a frame, row-major; signed values are passed as their two's complement bit pattern.
#[derive(Clone, Copy, Debug)]
pub enum Samples<'a> {
    /// BitsAllocated 8.
    U8(&'a [u8]),
    /// BitsAllocated 16.
    U16(&'a [u16]),
}

impl Samples<'_> {
    fn len(self) -> usize {
        match self {
            Samples::U8(s) => s.len(),
            Samples::U16(s) => s.len(),
        }
    }

    fn bits_allocated(self) -> u8 {
        match self {
            Samples::U8(_) => 8,
            Samples::U16(_) => 16,
        }
    }
}

/// One gray frame, checked: its sizes fit the samples and the 16-bit fields of the codecs.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    rows: u16,
    columns: u16,
    bits_stored: u8,
    samples: Samples<'a>,
}

impl<'a> Frame<'a> {
    /// Checks the sizes; `bits_stored` is DICOM's BitsStored, 2 to the width of the samples.
    pub fn new(
        rows: usize,
        columns: usize,
        bits_stored: u8,
        samples: Samples<'a>,
    ) -> Result<Self, EncodeError> {
        let (Ok(rows_16), Ok(columns_16)) = (u16::try_from(rows), u16::try_from(columns)) else {
            return Err(EncodeError::Size {
                rows,
                columns,
                samples: samples.len(),
            });
        };
        if rows == 0 || columns == 0 || rows * columns != samples.len() {
            return Err(EncodeError::Size {
                rows,
                columns,
                samples: samples.len(),
            });
        }
        if !(2..=samples.bits_allocated()).contains(&bits_stored) {
            return Err(EncodeError::BitsStored {
                found: bits_stored,
                allocated: samples.bits_allocated(),
            });
        }
        Ok(Self {
            rows: rows_16,
            columns: columns_16,
            bits_stored,
            samples,
        })
    }

    /// The samples as 16-bit words with the bits above BitsStored cleared, as the JPEG family wants them: a
    /// sign-extended negative value would exceed the precision that the codestream declares.
    fn words(&self) -> Vec<u16> {
        let mask = u16::MAX >> (16 - self.bits_stored);
        match self.samples {
            Samples::U8(s) => s.iter().map(|&v| u16::from(v) & mask).collect(),
            Samples::U16(s) => s.iter().map(|&v| v & mask).collect(),
        }
    }
}

/// Why a frame could not be encoded.
#[derive(Clone, Debug, PartialEq)]
pub enum EncodeError {
    /// The sizes do not fit the samples, or a side is 0 or above 65,535.
    Size {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
        /// Samples given.
        samples: usize,
    },
    /// BitsStored outside 2 to BitsAllocated.
    BitsStored {
        /// BitsStored asked for.
        found: u8,
        /// Width of the samples.
        allocated: u8,
    },
    /// No encoder for this transfer syntax.
    TransferSyntax(String),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size {
                rows,
                columns,
                samples,
            } => {
                write!(
                    f,
                    "{samples} samples do not make a frame of {rows} rows by {columns} columns (1 to 65535 each)"
                )
            }
            Self::BitsStored { found, allocated } => {
                write!(
                    f,
                    "BitsStored must be 2 to {allocated} for {allocated}-bit samples, found {found}"
                )
            }
            Self::TransferSyntax(uid) => write!(f, "no encoder for transfer syntax {uid}"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// UIDs of the transfer syntaxes that [`frame`] encodes: RLE, JPEG lossless SV1, JPEG-LS lossless.
pub const TRANSFER_SYNTAXES: [&str; 3] = [rle::UID, jpeg_lossless::UID, jpeg_ls::UID];

/// Encodes one frame in the transfer syntax with this UID, one of [`TRANSFER_SYNTAXES`].
///
/// The result may have an odd length; encapsulation pads it (DICOM PS3.5 A.4).
pub fn frame(frame: &Frame<'_>, transfer_syntax_uid: &str) -> Result<Vec<u8>, EncodeError> {
    match transfer_syntax_uid {
        rle::UID => Ok(rle::encode(frame)),
        jpeg_lossless::UID => Ok(jpeg_lossless::encode(frame)),
        jpeg_ls::UID => Ok(jpeg_ls::encode(frame)),
        other => Err(EncodeError::TransferSyntax(other.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sizes_and_depths_are_refused() {
        let words = [0u16; 6];
        let size = |rows, columns| Frame::new(rows, columns, 16, Samples::U16(&words)).unwrap_err();
        assert!(
            size(2, 4)
                .to_string()
                .starts_with("6 samples do not make a frame of 2 rows by 4 columns")
        );
        assert!(matches!(size(0, 6), EncodeError::Size { .. }));
        assert!(matches!(size(1 << 16, 1 << 48), EncodeError::Size { .. }));
        assert!(matches!(
            Frame::new(2, 3, 17, Samples::U16(&words)),
            Err(EncodeError::BitsStored { .. })
        ));
        assert!(matches!(
            Frame::new(1, 1, 12, Samples::U8(&[0])),
            Err(EncodeError::BitsStored { .. })
        ));
    }

    #[test]
    fn signed_values_are_cut_to_bits_stored() {
        let frame = Frame::new(1, 2, 12, Samples::U16(&[-1i16 as u16, 5])).unwrap();
        assert_eq!(frame.words(), [0x0FFF, 5]);
    }

    #[test]
    fn an_unknown_transfer_syntax_is_named() {
        let one = Frame::new(1, 1, 8, Samples::U8(&[1])).unwrap();
        let error = frame(&one, "1.2.3").unwrap_err();
        assert_eq!(error.to_string(), "no encoder for transfer syntax 1.2.3");
        assert!(TRANSFER_SYNTAXES.iter().all(|uid| frame(&one, uid).is_ok()));
    }
}
