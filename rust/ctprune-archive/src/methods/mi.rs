//! Normalized mutual information: C. Studholme et al., An overlap invariant entropy measure of 3D medical image
//! alignment (1999).

use super::description::steps_from;
use super::pixel_sweep::Similarity;
use super::{Default, Description, Measure, Role, Way};
use ctprune_core::similarity::mi::MutualInformation;

pub(super) static MI: Description = Description {
    name: "mi",
    drops: "normalized mutual information of the gray pixels ≥ threshold",
    citation: "normalized mutual information (Studholme et al. 1999)",
    source: "Studholme et al. 1999",
    fingerprint: None,
    measure: Some(Measure {
        name: "normalized mutual information",
        unit: "",
        larger_is_closer: true,
        low: 1.0,
        high: Some(2.0),
        example: 1.3,
        grid: || steps_from(1),
        strictest_drops: "slices that determine each other",
    }),
    on_embeddings: None,
    role: Role::Decides,
    options: &[
        ("threshold", Default::None),
        ("keep", Default::None),
        ("budget", Default::None),
        ("max_gap_mm", Default::None),
        ("stable", Default::None),
    ],
    way: Way::Pixels(|_| {
        Ok(Box::new(Similarity {
            measure: MutualInformation,
            own: 2.0,
        }))
    }),
};
