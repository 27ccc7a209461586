//! Stable codes of refusals: what programs and people look up, whatever a sentence says this year.
//!
//! A code is described once, here: its name, what happened, and what to do. `docs/codes.md` is made from it.

use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($($variant:ident, $name:literal, $meaning:literal, $action:literal;)+) => {
        /// Why a file or a frame gives no slice, as a code that stays the same between versions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)+
        }

        /// All codes, failures first.
        pub const CODES: [About; [$($name),+].len()] = [$(About {
            code: Code::$variant,
            name: $name,
            meaning: $meaning,
            action: $action,
        },)+];
    };
}

/// What is known of a code.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The code.
    pub code: Code,
    /// Its name: `E-…` for what could not be read, `S-…` for what was left out.
    pub name: &'static str,
    /// What happened, in one sentence.
    pub meaning: &'static str,
    /// What to do about it, in one sentence.
    pub action: &'static str,
}

codes! {
    Io, "E-IO",
        "The system could not read the file or list the folder.",
        "Check the disk, the mount or the network, then reduce again: failed files are tried again.";
    Network, "E-NETWORK",
        "The server did not give the object, or gave something else; the reason says what it answered.",
        "Check the address, the credentials and the server, then reduce again: failed files are tried again.";
    Permission, "E-PERMISSION",
        "The system does not allow the file or folder to be read.",
        "Let the user who runs ctprune read it, then reduce again.";
    Vanished, "E-VANISHED",
        "The file was listed, but was gone before it could be read; or a link leads nowhere.",
        "Reduce again once nothing moves or deletes files there.";
    NotRegular, "E-NOT-REGULAR",
        "It is a FIFO, a socket or a device, not a file.",
        "Nothing, if it belongs there; `--exclude` leaves it out.";
    Name, "E-NAME",
        "The name of the file or folder is not valid Unicode, so no manifest can hold it.",
        "Rename it.";
    Empty, "E-EMPTY",
        "The file has no bytes: usually a copy that was cut off.",
        "Copy it again from its source.";
    Unrecognized, "E-UNRECOGNIZED",
        "The name is that of an image, but the content has no known format.",
        "Copy it again from its source, or leave it out with `--exclude`.";
    Missing, "E-MISSING",
        "An element that an image needs is missing, such as its pixels.",
        "Request the file again, or leave it out with `--exclude`.";
    Invalid, "E-INVALID",
        "The standard forbids a value, or two values contradict each other.",
        "Request the file again; ctprune does not guess.";
    Truncated, "E-TRUNCATED",
        "The file ends too early: part of its content is missing.",
        "Copy it again from its source.";
    Corrupt, "E-CORRUPT",
        "The content breaks the rules of its format: bytes were changed.",
        "Copy it again from its source.";
    TooLarge, "E-TOO-LARGE",
        "A slice would need more memory than `--max-slice-mb` allows, or the file says so.",
        "Raise `--max-slice-mb` if the file is intact.";
    UnsupportedSyntax, "E-UNSUPPORTED-SYNTAX",
        "Neither ctprune nor pydicom decodes the transfer syntax.",
        "Install a decoder for pydicom that knows it, or convert the file.";
    Unsupported, "E-UNSUPPORTED",
        "ctprune does not read this kind of image, although it is valid.",
        "Convert it to a common kind.";
    Decoder, "E-DECODER",
        "The decoder failed in an unexpected way.",
        "Copy the file again; if it is intact, report a bug.";
    Pixels, "E-PIXELS",
        "The pixels cannot become gray values: none is finite, or the rescaling is impossible.",
        "Request the file again, or leave it out with `--exclude`.";
    Container, "E-ARCHIVE",
        "A zip or tar file, or a member of it, cannot be read as it is; the reason says why.",
        "Do what the reason says; it usually helps to unpack the archive and name the folder.";
    Encrypted, "E-ENCRYPTED",
        "A member of a zip file is encrypted.",
        "Unpack it with its password, and name the folder.";
    PydicomMemory, "E-PYDICOM-MEMORY",
        "ctprune has no decoder for the file, and pydicom needs more memory than it may use.",
        "Raise `--max-slice-mb` if the file is intact.";
    PydicomTime, "E-PYDICOM-TIME",
        "ctprune has no decoder for the file, and pydicom took too long.",
        "Convert the file to a common transfer syntax.";
    PydicomCrash, "E-PYDICOM-CRASH",
        "The process that runs pydicom and its decoders crashed or gave no valid answer.",
        "Convert the file to a common transfer syntax, or install another decoder.";
    NotAnImage, "S-NOT-AN-IMAGE",
        "Neither the content nor the name is that of an image.",
        "Nothing.";
    Excluded, "S-EXCLUDED",
        "A pattern of `--exclude` matches the path.",
        "Nothing; reduce without the pattern to read it.";
    NotIncluded, "S-NOT-INCLUDED",
        "No pattern of `--include` matches the path.",
        "Nothing; reduce without `--include` to read it.";
    Plane, "S-PLANE",
        "The volume has a different plane than `--plane`.",
        "Nothing; reduce without `--plane` to take it.";
    Derived, "S-DERIVED",
        "Image Type says that the slice was made from others, and `--skip-derived` leaves out such slices.",
        "Nothing; reduce without `--skip-derived` to take it.";
    Thickness, "S-THICKNESS",
        "The slice thickness lies outside `--thickness`, or is unknown.",
        "Nothing; reduce with a wider `--thickness` to take it.";
    FewSlices, "S-FEW-SLICES",
        "The volume has fewer slices than `--min-slices`.",
        "Nothing; reduce with a smaller `--min-slices` to take it.";
    SamePosition, "S-SAME-POSITION",
        "Several slices of the series are at one position, and `--gate ct-fm` takes no such series.",
        "Nothing; reduce without the gate to take it.";
    Finding, "S-FINDING",
        "`ctprune check` finds something in the slice or its series that `--skip-codes` or `--gate` leaves out; the reason names it.",
        "Nothing; reduce without that code or gate to take it.";
    SameScan, "S-SAME-SCAN",
        "Another volume shows the same anatomy, and `--one-per-scan` keeps only one; the reason says how this was found.",
        "Nothing; reduce without `--one-per-scan`, or with another `--prefer`, to take it.";
    Linked, "S-LINKED",
        "A link leads to a folder that is read where it lies, or lies in a zip or tar file, whose links are not followed.",
        "Nothing.";
    Archive, "S-ARCHIVE",
        "The file is a zip or tar file; each file in it has its own row.",
        "Nothing.";
    NoMembers, "S-NO-MEMBERS",
        "The zip or tar file has no files in it.",
        "Nothing.";
    Modality, "S-MODALITY",
        "The object has a different modality than `--modality`.",
        "To read it, name its modality with `--modality`, or `any`.";
    Dicomdir, "S-DICOMDIR",
        "The file is a DICOMDIR, an index of other files.",
        "Nothing.";
    Localizer, "S-LOCALIZER",
        "The image is a localizer (scout, topogram), not a slice.",
        "Nothing.";
    Page, "S-PAGE",
        "The image is a dose report or a screen save.",
        "Nothing.";
    SecondaryCapture, "S-SECONDARY-CAPTURE",
        "The object is a secondary capture.",
        "Nothing.";
    Segmentation, "S-SEGMENTATION",
        "The object is a segmentation.",
        "Nothing.";
    StructuredReport, "S-STRUCTURED-REPORT",
        "The object is a structured report.",
        "Nothing.";
    NoPixels, "S-NO-PIXELS",
        "Objects of this kind have no pixels, such as a plan.",
        "Nothing.";
    Color, "S-COLOR",
        "The DICOM image is in color; CT is not.",
        "Nothing.";
    Thumbnail, "S-THUMBNAIL",
        "The page of a TIFF is a thumbnail or a mask.",
        "Nothing.";
    NiftiPair, "S-NIFTI-PAIR",
        "The file is the header of a NIfTI pair, whose pixels are in another file.",
        "Convert the pair to one `.nii` or `.nii.gz` file.";
    Dimensions, "S-DIMENSIONS",
        "The NIfTI file has more than four dimensions.",
        "Split it into volumes.";
}

impl Code {
    /// The name: `E-…` for what could not be read, `S-…` for what was left out.
    pub fn name(self) -> &'static str {
        CODES[self as usize].name
    }

    /// The code with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        CODES
            .iter()
            .find(|about| about.name == name)
            .map(|about| about.code)
    }

    /// Whether a gate left a slice out that was read: for another run it is there.
    pub fn is_gate(self) -> bool {
        use Code::{Derived, FewSlices, Finding, Plane, SamePosition, SameScan, Thickness};
        matches!(
            self,
            Plane | Derived | Thickness | FewSlices | SamePosition | Finding | SameScan
        )
    }

    /// Whether something could not be read, rather than being left out.
    pub fn is_failure(self) -> bool {
        self.name().starts_with("E-")
    }
}

/// The codes as two tables in Markdown: what the documentation shows.
pub fn documentation() -> String {
    let table = |failures: bool| {
        let rows = CODES.iter().filter(|about| about.code.is_failure() == failures);
        let rows = rows.map(|about| format!("| `{}` | {} | {} |\n", about.name, about.meaning, about.action));
        format!(
            "| code | what happened | what to do |\n|---|---|---|\n{}",
            rows.collect::<String>()
        )
    };
    format!(
        "## Failed: what could not be read\n\n{}\n## Skipped: what was left out\n\n{}",
        table(true),
        table(false)
    )
}

/// A code with the words for one case of it. The words are few, the same for many files, and without names of files
/// or patients: a run counts them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reason {
    /// The code.
    pub code: Code,
    /// The words, such as `localizer` or `modality MR`.
    pub text: Cow<'static, str>,
}

impl Reason {
    /// These words for this code.
    pub fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_names_of_their_own_and_come_back() {
        for (number, about) in CODES.iter().enumerate() {
            assert_eq!(about.code as usize, number);
            assert_eq!(Code::from_name(about.name), Some(about.code));
            let (kind, rest) = about.name.split_at(2);
            assert!(kind == "E-" || kind == "S-", "{}", about.name);
            assert!(!rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'));
            assert!(
                about.meaning.ends_with('.') && about.action.ends_with('.'),
                "{}",
                about.name
            );
        }
        assert_eq!(Code::from_name("E-NOTHING"), None);
        let failures = CODES.iter().take_while(|about| about.code.is_failure()).count();
        assert!(!CODES[failures..].iter().any(|about| about.code.is_failure()));
    }
}
