//! Why a file or a frame could not be read.

use std::borrow::Cow;
use std::fmt;
use std::io;

use dicom_core::Tag;

use crate::code::{Code, Reason};

/// Why a file or a frame could not be read: what was expected, what was found.
///
/// `Display` gives one sentence. The file's name is not in it: who reads many files adds it.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadError {
    /// The operating system said no.
    Io {
        /// What could not be done, such as "the file cannot be opened".
        failed: Cow<'static, str>,
        /// The system's reason.
        reason: String,
        /// What kind of reason that is.
        kind: io::ErrorKind,
        /// How often to try again, since it may be gone in a moment.
        tries: u8,
    },
    /// Something that has to be there is not.
    Missing(&'static str),
    /// A value, or a part of the file, is another one than it has to be.
    Unexpected {
        /// Which one.
        what: Cow<'static, str>,
        /// What it has to be.
        expected: Cow<'static, str>,
        /// What it is.
        found: Cow<'static, str>,
    },
    /// The data end before all is there.
    Truncated(&'static str),
    /// Fewer parts are there than announced.
    TooFew {
        /// Of what.
        what: Cow<'static, str>,
        /// What is counted, in the singular.
        unit: &'static str,
        /// How many there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// More bytes would be needed than may be.
    TooLarge {
        /// Of what, in the plural.
        what: Cow<'static, str>,
        /// As many may be.
        limit: u64,
    },
    /// A kind of picture or volume that is not read, here or by another reader.
    Unsupported(Cow<'static, str>),
    /// The words of the library that decodes this format.
    Corrupt {
        /// The format.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The elements of a DICOM data set cannot be followed.
    DataSet(DataSetError),
    /// A JPEG 2000 codestream that breaks the standard's rules.
    Jpeg2000(ctprune_jpeg2000::Error),
    /// What is wrong, where there is no value to show.
    Invalid(&'static str),
    /// A decoder panicked, with this message.
    Panicked(String),
    /// The file has no bytes.
    Empty,
    /// Whatever else: a code and its sentence.
    Other(Reason),
}

/// Why a data set cannot be followed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSetError {
    /// The bytes end inside this element.
    Ends(Tag),
    /// Sequences are nested deeper than is followed.
    TooDeep {
        /// As deep is followed.
        most: u32,
    },
    /// A sequence item was expected, this element was found.
    NoItem(Tag),
}

impl ReadError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Io { kind, .. } => match kind {
                io::ErrorKind::PermissionDenied => Code::Permission,
                io::ErrorKind::NotFound => Code::Vanished,
                // What `open_regular` says of all that is no file.
                io::ErrorKind::InvalidInput => Code::NotRegular,
                _ => Code::Io,
            },
            Self::Missing(_) => Code::Missing,
            Self::Unexpected { .. } | Self::Invalid(_) => Code::Invalid,
            Self::Truncated(_) | Self::TooFew { .. } => Code::Truncated,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Unsupported(_) => Code::Unsupported,
            Self::Corrupt { .. } => Code::Corrupt,
            Self::DataSet(DataSetError::Ends(_)) => Code::Truncated,
            Self::DataSet(_) => Code::Corrupt,
            Self::Jpeg2000(ctprune_jpeg2000::Error::Truncated) => Code::Truncated,
            Self::Jpeg2000(ctprune_jpeg2000::Error::Unsupported(_)) => Code::Unsupported,
            Self::Jpeg2000(_) => Code::Corrupt,
            Self::Panicked(_) => Code::Decoder,
            Self::Empty => Code::Empty,
            Self::Other(reason) => reason.code,
        }
    }

    /// A sentence with its code.
    pub fn other(code: Code, sentence: impl Into<Cow<'static, str>>) -> Self {
        ReadError::Other(Reason::new(code, sentence))
    }

    /// What could not be done, and the system's reason.
    pub fn io(failed: impl Into<Cow<'static, str>>, error: &io::Error) -> Self {
        ReadError::Io {
            failed: failed.into(),
            reason: without_number(&error.to_string()),
            kind: error.kind(),
            tries: tries(error),
        }
    }

    /// How often to try again: the file may be as it was, and only the way to it was gone for a moment.
    pub fn tries(&self) -> u8 {
        match self {
            ReadError::Io { tries, .. } => *tries,
            _ => 0,
        }
    }
}

/// What the system said, without its number for it, which Rust appends: " (os error 2)".
#[must_use]
pub fn without_number(said: &str) -> String {
    said.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// Several tries for what network file systems say while a server is moved or a connection renewed; one for an error of
/// the device, which mostly stays.
fn tries(error: &io::Error) -> u8 {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, NotConnected, StaleNetworkFileHandle, TimedOut, WouldBlock,
    };
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EIO) {
        return 1;
    }
    let passing = [
        ConnectionAborted,
        ConnectionReset,
        NotConnected,
        StaleNetworkFileHandle,
        TimedOut,
        WouldBlock,
    ];
    if passing.contains(&error.kind()) { 3 } else { 0 }
}

/// A value that is another one than it has to be.
pub(crate) fn unexpected(
    what: impl Into<Cow<'static, str>>,
    expected: impl Into<Cow<'static, str>>,
    found: impl fmt::Display,
) -> ReadError {
    ReadError::Unexpected {
        what: what.into(),
        expected: expected.into(),
        found: found.to_string().into(),
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { failed, reason, .. } => write!(f, "{failed}: {reason}"),
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::Unexpected {
                what,
                expected,
                found,
            } => write!(f, "{what}: expected {expected}, found {found}"),
            Self::Truncated(what) => write!(f, "{what} is truncated"),
            Self::TooFew {
                what,
                unit,
                expected,
                found,
            } => {
                let plural = if *expected == 1 { "" } else { "s" };
                write!(
                    f,
                    "{what} is truncated: expected {expected} {unit}{plural}, found {found}"
                )
            }
            Self::TooLarge { what, limit } => write!(f, "{what} exceed the limit of {limit} bytes"),
            Self::Unsupported(what) => write!(f, "{what} is not supported"),
            Self::Corrupt { what, reason } => write!(f, "the {what} is corrupt: {reason}"),
            Self::DataSet(error) => error.fmt(f),
            Self::Jpeg2000(error) => error.fmt(f),
            Self::Invalid(sentence) => f.write_str(sentence),
            Self::Panicked(message) => write!(f, "the decoder failed: {message}"),
            Self::Empty => f.write_str("the file is empty"),
            Self::Other(reason) => reason.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<DataSetError> for ReadError {
    fn from(error: DataSetError) -> Self {
        ReadError::DataSet(error)
    }
}

impl fmt::Display for DataSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends(tag) => write!(f, "the data set ends inside {}", shown(*tag)),
            Self::TooDeep { most } => write!(f, "sequences are nested deeper than {most}"),
            Self::NoItem(tag) => write!(f, "the sequence: expected an item, found {}", shown(*tag)),
        }
    }
}

impl std::error::Error for DataSetError {}

/// An element by its tag, unless that may be a piece of text: in a broken data set, four letters of a name can stand
/// where a tag is expected. Letters make no group below 0100.
fn shown(tag: Tag) -> String {
    match tag.group() {
        0..=0x00ff | 0x7fe0 | 0xfffe => format!("element {tag}"),
        _ => "an unknown element".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_speaks_without_its_number() {
        let missing = ReadError::io("it cannot be opened", &io::Error::from_raw_os_error(2));
        let says = missing.to_string();
        assert!(says.starts_with("it cannot be opened: "), "{says}");
        assert!(!says.contains("os error"), "{says}");
        assert_eq!(
            without_number("No space left on device (os error 28)"),
            "No space left on device"
        );
        assert_eq!(without_number("unexpected end of file"), "unexpected end of file");
    }

    #[test]
    fn letters_in_the_place_of_a_tag_are_not_shown() {
        let name = DataSetError::Ends(Tag(0x6f44, 0x5e65));
        assert_eq!(name.to_string(), "the data set ends inside an unknown element");
        let known = DataSetError::NoItem(Tag(0x0008, 0x1140));
        assert_eq!(
            known.to_string(),
            "the sequence: expected an item, found element (0008,1140)"
        );
    }

    #[test]
    fn sentences_say_what_was_expected_and_found() {
        let texts = [
            unexpected("Bits Allocated", "8, 16 or 32", 12),
            ReadError::TooFew {
                what: "pixel data".into(),
                unit: "frame",
                expected: 1,
                found: 0,
            },
            ReadError::TooFew {
                what: "the NIfTI file".into(),
                unit: "byte",
                expected: 376,
                found: 375,
            },
            ReadError::TooLarge {
                what: "2 × 3 × 16 bits".into(),
                limit: 11,
            },
        ]
        .map(|error| error.to_string());
        assert_eq!(
            texts,
            [
                "Bits Allocated: expected 8, 16 or 32, found 12",
                "pixel data is truncated: expected 1 frame, found 0",
                "the NIfTI file is truncated: expected 376 bytes, found 375",
                "2 × 3 × 16 bits exceed the limit of 11 bytes",
            ]
        );
    }
}
