//! Structural similarity: Z. Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity
//! (2004).

use super::description::steps_from;
use super::pixel_sweep::Similarity;
use super::{Default, Description, Measure, Role, Way};
use ctprune_core::similarity::ssim::{Ssim, Window};

pub(super) static SSIM: Description = Description {
    name: "ssim",
    drops: "mean SSIM of the gray pixels ≥ threshold",
    citation: "structural similarity (Wang et al. 2004)",
    source: "Wang et al. 2004",
    fingerprint: None,
    measure: Some(Measure {
        name: "mean SSIM",
        unit: "",
        larger_is_closer: true,
        low: -1.0,
        high: Some(1.0),
        example: 0.8,
        grid: || steps_from(0),
        strictest_drops: "slices with equal pixels",
    }),
    on_embeddings: None,
    role: Role::Decides,
    options: &[
        ("threshold", Default::None),
        ("keep", Default::None),
        ("budget", Default::None),
        ("max_gap_mm", Default::None),
        ("stable", Default::None),
        ("window", Default::Word("uniform")),
    ],
    way: Way::Pixels(|request| {
        let window = Window::parse(&request.window)?;
        Ok(Box::new(Similarity {
            measure: Ssim::new(window),
            own: 1.0,
        }))
    }),
};
