//! What covers a slice.

use crate::selection::{NO_DISTANCE, NO_EXEMPLAR};

/// What covers a slice: the exemplar and the Hamming distance to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HammingCover {
    pub exemplar: u32,
    pub distance: u16,
}

impl HammingCover {
    pub const NONE: Self = Self {
        exemplar: NO_EXEMPLAR,
        distance: NO_DISTANCE,
    };

    pub fn is_none(self) -> bool {
        self.exemplar == NO_EXEMPLAR
    }
}
