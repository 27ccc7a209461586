//! Embeddings of a network, which Python computes; see [`ctprune_core::selection::cosine`] for the selection among them.

use super::{Default, Description, Measure, Role, Way};
use ctprune_core::selection::cosine;

pub(super) static DEEP: Description = Description {
    name: "deep",
    drops: "cosine similarity of two embeddings ≥ threshold",
    citation: "embeddings of a network",
    source: "Wolf et al. 2024",
    fingerprint: None,
    measure: Some(COSINE),
    on_embeddings: None,
    role: Role::Decides,
    options: &[
        ("threshold", Default::None),
        ("keep", Default::None),
        ("budget", Default::None),
        ("max_gap_mm", Default::None),
        ("stable", Default::None),
        ("weights", Default::None),
    ],
    way: Way::Embeddings,
};

/// The similarity of embeddings.
pub(super) const COSINE: Measure = Measure {
    name: "cosine similarity",
    unit: "",
    larger_is_closer: true,
    low: -1.0,
    high: Some(1.0),
    example: 0.95,
    grid: cosine::grid,
    strictest_drops: "slices with equal embeddings",
};
