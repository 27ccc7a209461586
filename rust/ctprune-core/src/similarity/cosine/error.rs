//! Why embeddings cannot be compared.

use std::fmt;

/// Why embeddings cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbeddingError {
    /// The data are not whole embeddings.
    Shape {
        /// Numbers of one embedding.
        features: usize,
        /// Numbers in all.
        found: usize,
    },
    /// An embedding holds a number that is not finite.
    NotFinite {
        /// Its row.
        row: usize,
    },
}

impl fmt::Display for EmbeddingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { features: 0, .. } => {
                f.write_str("expected embeddings of at least one feature, found 0")
            }
            Self::Shape { features, found } => {
                write!(
                    f,
                    "expected whole embeddings of {features} features, found {found} numbers"
                )
            }
            Self::NotFinite { row } => {
                write!(
                    f,
                    "embedding {row}: expected finite numbers, found one that is not finite"
                )
            }
        }
    }
}

impl std::error::Error for EmbeddingError {}
