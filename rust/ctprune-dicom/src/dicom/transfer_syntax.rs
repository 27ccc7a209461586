//! The transfer syntaxes (PS3.5 section 10, PS3.6 annex A) that can hold pixels.

use dicom_dictionary_std::uids;

use super::element::Encoding;

/// How pixel data is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// Not at all, and yet in fragments.
    Encapsulated,
    /// RLE (PS3.5 annex G).
    Rle,
    /// JPEG: baseline, extended or lossless (ISO/IEC 10918-1); the stream says which.
    Jpeg,
    /// JPEG-LS (ISO/IEC 14495-1).
    JpegLs,
    /// JPEG 2000 (ISO/IEC 15444-1) and HTJ2K (15444-15).
    Jpeg2000,
    /// JPEG XL (ISO/IEC 18181).
    JpegXl,
    /// In a way that cannot be read: video, JPIP, private ones. The data set around it can.
    Unsupported,
}

/// How a data set and its pixels are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransferSyntax {
    pub encoding: Encoding,
    pub deflated: bool,
    pub compression: Compression,
}

const fn plain(explicit: bool, big_endian: bool) -> TransferSyntax {
    let encoding = Encoding { explicit, big_endian };
    TransferSyntax {
        encoding,
        deflated: false,
        compression: Compression::None,
    }
}

/// What a data set is in that does not say.
pub(crate) const fn implicit_little_endian() -> TransferSyntax {
    plain(false, false)
}

/// The transfer syntax of a UID.
pub(crate) fn lookup(uid: &str) -> TransferSyntax {
    let compressed = |compression| TransferSyntax {
        compression,
        ..plain(true, false)
    };
    match uid {
        uids::IMPLICIT_VR_LITTLE_ENDIAN => implicit_little_endian(),
        uids::EXPLICIT_VR_LITTLE_ENDIAN => plain(true, false),
        #[allow(deprecated, reason = "retired, still in archives")]
        uids::EXPLICIT_VR_BIG_ENDIAN => plain(true, true),
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => TransferSyntax {
            deflated: true,
            ..plain(true, false)
        },
        uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => compressed(Compression::Encapsulated),
        uids::RLE_LOSSLESS => compressed(Compression::Rle),
        #[allow(deprecated, reason = "retired, still in archives")]
        uids::JPEG_BASELINE8_BIT
        | uids::JPEG_EXTENDED12_BIT
        | uids::JPEG_SPECTRAL_SELECTION_NON_HIERARCHICAL68
        | uids::JPEG_FULL_PROGRESSION_NON_HIERARCHICAL1012
        | uids::JPEG_LOSSLESS
        | uids::JPEG_LOSSLESS_SV1 => compressed(Compression::Jpeg),
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => compressed(Compression::JpegLs),
        uids::JPEG2000_LOSSLESS
        | uids::JPEG2000
        | uids::HTJ2K_LOSSLESS
        | uids::HTJ2K_LOSSLESS_RPCL
        | uids::HTJ2K => compressed(Compression::Jpeg2000),
        uids::JPEGXL_LOSSLESS | uids::JPEGXLJPEG_RECOMPRESSION | uids::JPEGXL => {
            compressed(Compression::JpegXl)
        }
        _ => compressed(Compression::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntaxes_are_found_by_uid() {
        assert_eq!(lookup("1.2.840.10008.1.2"), implicit_little_endian());
        assert!(lookup("1.2.840.10008.1.2.2").encoding.big_endian);
        assert_eq!(lookup("1.2.840.10008.1.2.4.70").compression, Compression::Jpeg);
        assert_eq!(
            lookup("1.2.840.10008.1.2.4.100").compression,
            Compression::Unsupported
        );
    }
}
