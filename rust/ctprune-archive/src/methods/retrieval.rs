//! Retrieval: the slices that are closest to those of another run.

use super::deep::COSINE;
use super::hash::HAMMING;
use super::{Default, Description, Role, Way};

pub(super) static RETRIEVAL: Description = Description {
    name: "retrieval",
    drops: "farther from the nearest slice of a target run than those that are kept",
    citation: "retrieval of the slices closest to a target set by {features} (Oquab et al. 2023)",
    source: "Oquab et al. 2023",
    fingerprint: None,
    measure: Some(HAMMING),
    on_embeddings: Some(COSINE),
    role: Role::Sizes,
    options: &[
        ("keep", Default::None),
        ("budget", Default::None),
        ("target", Default::None),
        ("features", Default::Word("fingerprints")),
        ("weights", Default::None),
    ],
    way: Way::Targets,
};
