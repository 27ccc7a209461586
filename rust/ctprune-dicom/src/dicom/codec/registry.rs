//! Codecs of dicom-rs: JPEG 2000 and HTJ2K (OpenJPEG), progressive JPEG.
//!
//! OpenJPEG is C, so the size that a stream declares is compared with what the data set announces before it
//! sees a byte of it.

use std::borrow::Cow;

use dicom_encoding::Codec;
use dicom_encoding::adapters::{PixelDataObject, RawPixelData};
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// Which codec is asked for, as the UID of a transfer syntax that dicom-rs gives to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    Jpeg,
    Jpeg2000,
}

impl Foreign {
    fn uid(self) -> &'static str {
        match self {
            Foreign::Jpeg => "1.2.840.10008.1.2.4.50",
            Foreign::Jpeg2000 => "1.2.840.10008.1.2.4.91",
        }
    }
}

/// One frame of one sample per pixel, as dicom-rs wants to see an object.
struct Frame<'a> {
    uid: &'static str,
    bytes: &'a [u8],
    rows: u16,
    columns: u16,
    bits_allocated: u16,
}

/// Decodes `bytes` into samples of `size` bytes (1 or 2), little endian.
pub(crate) fn decode(
    codec: Foreign,
    bytes: &[u8],
    (rows, columns): (u32, u32),
    size: usize,
) -> Result<Vec<u8>, String> {
    let uid = codec.uid();
    let Some(syntax) = TransferSyntaxRegistry.get(uid) else {
        return Err(format!("no decoder for transfer syntax {uid} is built in"));
    };
    let Codec::EncapsulatedPixelData(Some(reader), _) = syntax.codec() else {
        return Err(format!("no decoder for transfer syntax {uid} is built in"));
    };
    let short = |n: u32| u16::try_from(n).map_err(|_| format!("{n} rows or columns are more than 65535"));
    let frame = Frame {
        uid,
        bytes,
        rows: short(rows)?,
        columns: short(columns)?,
        bits_allocated: 8 * size as u16,
    };
    let mut samples = Vec::new();
    reader
        .decode_frame(&frame, 0, &mut samples)
        .map_err(|e| e.to_string())?;
    let wanted = rows as usize * columns as usize * size;
    match samples.len() {
        len if len == wanted => Ok(samples),
        len => Err(format!("the decoder should give {wanted} bytes, it gives {len}")),
    }
}

impl PixelDataObject for Frame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        self.uid
    }

    fn rows(&self) -> Option<u16> {
        Some(self.rows)
    }

    fn cols(&self) -> Option<u16> {
        Some(self.columns)
    }

    fn samples_per_pixel(&self) -> Option<u16> {
        Some(1)
    }

    fn bits_allocated(&self) -> Option<u16> {
        Some(self.bits_allocated)
    }

    fn bits_stored(&self) -> Option<u16> {
        Some(self.bits_allocated)
    }

    fn photometric_interpretation(&self) -> Option<&str> {
        Some("MONOCHROME2")
    }

    fn number_of_frames(&self) -> Option<u32> {
        Some(1)
    }

    fn number_of_fragments(&self) -> Option<u32> {
        Some(1)
    }

    fn fragment(&self, fragment: usize) -> Option<Cow<'_, [u8]>> {
        (fragment == 0).then_some(Cow::Borrowed(self.bytes))
    }

    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        Some(Cow::Borrowed(&[0]))
    }

    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        let fragments = std::iter::once(self.bytes.to_vec()).collect();
        Some(RawPixelData {
            fragments,
            offset_table: std::iter::once(0).collect(),
        })
    }
}
