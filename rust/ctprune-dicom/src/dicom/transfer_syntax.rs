//! The transfer syntaxes (PS3.5 section 10, PS3.6 annex A) that can hold pixels.

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
    match uid.strip_prefix("1.2.840.10008.1.2") {
        Some("") => implicit_little_endian(),
        Some(".1") => plain(true, false),
        Some(".2") => plain(true, true),
        Some(".1.99") => TransferSyntax {
            deflated: true,
            ..plain(true, false)
        },
        Some(".1.98") => compressed(Compression::Encapsulated),
        Some(".5") => compressed(Compression::Rle),
        Some(".4.50" | ".4.51" | ".4.53" | ".4.55" | ".4.57" | ".4.70") => compressed(Compression::Jpeg),
        Some(".4.80" | ".4.81") => compressed(Compression::JpegLs),
        Some(".4.90" | ".4.91" | ".4.201" | ".4.202" | ".4.203") => compressed(Compression::Jpeg2000),
        Some(".4.110" | ".4.111" | ".4.112") => compressed(Compression::JpegXl),
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
