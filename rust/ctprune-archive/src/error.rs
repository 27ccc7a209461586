//! What can go wrong with an archive as a whole; what is wrong with one file is a row with a reason.

use ctprune_core::option::OptionError;
use ctprune_core::selection::SelectError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a step of an archive cannot be done. Each is one sentence.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// An option has a value that cannot be used.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {found}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        found: String,
    },
    /// A source is no file.
    #[error("{}: not a file name", file.display())]
    NotAFileName {
        /// The path.
        file: PathBuf,
    },
    /// A file that was named cannot be examined.
    #[error("{}: {found}", file.display())]
    Unexaminable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        found: std::io::Error,
    },
    /// There are more slices than a row can number.
    #[error("an archive may have at most 4,294,967,294 slices: split it into several reductions")]
    TooManySlices,
    /// Another reader's slices belong to no file that waits for them.
    #[error("expected slices of a file of an unsupported kind, found those of file {file}")]
    NotUnsupported {
        /// The file's number.
        file: u32,
    },
    /// A selection from outside has another length than there are slices.
    #[error("expected exemplars and similarities of {slices} slices, found {exemplars} and {similarities}")]
    SelectionLength {
        /// Slices that were grouped.
        slices: usize,
        /// Exemplars given.
        exemplars: usize,
        /// Similarities given.
        similarities: usize,
    },
    /// An exemplar of a selection from outside is no slice.
    #[error("exemplar {exemplar} is not one of {slices} slices")]
    NotASlice {
        /// The exemplar.
        exemplar: u32,
        /// Slices that were grouped.
        slices: usize,
    },
    /// The selection could not be made.
    #[error(transparent)]
    Select(#[from] SelectError),
}
