//! Why a file or a frame could not be read.

use std::borrow::Cow;
use std::fmt;
use std::io;

use dicom_core::Tag;

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
    /// The sentence of another reader.
    Other(String),
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
    /// What could not be done, and the system's reason.
    pub(crate) fn io(failed: impl Into<Cow<'static, str>>, error: &io::Error) -> Self {
        ReadError::Io {
            failed: failed.into(),
            reason: error.to_string(),
        }
    }
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
            Self::Io { failed, reason } => write!(f, "{failed}: {reason}"),
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
            Self::Panicked(message) => write!(f, "the decoder gave up: {message}"),
            Self::Other(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<String> for ReadError {
    fn from(sentence: String) -> Self {
        ReadError::Other(sentence)
    }
}

impl From<&'static str> for ReadError {
    fn from(sentence: &'static str) -> Self {
        ReadError::Invalid(sentence)
    }
}

impl From<DataSetError> for ReadError {
    fn from(error: DataSetError) -> Self {
        ReadError::DataSet(error)
    }
}

impl fmt::Display for DataSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends(tag) => write!(f, "the data set ends inside element {tag}"),
            Self::TooDeep { most } => write!(f, "sequences are nested deeper than {most}"),
            Self::NoItem(tag) => write!(f, "the sequence: expected an item, found element {tag}"),
        }
    }
}

impl std::error::Error for DataSetError {}

#[cfg(test)]
mod tests {
    use super::*;

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
