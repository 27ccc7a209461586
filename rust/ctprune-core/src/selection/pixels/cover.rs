//! What covers a slice, at each of some thresholds.

/// From threshold `first` on, up to the next cover of the slice, this slice covers it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelCover {
    /// Index of the first threshold.
    pub first: u16,
    /// Number of the exemplar in its volume: the slice itself where it is kept.
    pub exemplar: u32,
    /// Similarity to it.
    pub similarity: f32,
}

/// The cover at the threshold of this index.
pub fn cover_at(covers: &[PixelCover], threshold: usize) -> PixelCover {
    covers[covers.partition_point(|cover| usize::from(cover.first) <= threshold) - 1]
}
