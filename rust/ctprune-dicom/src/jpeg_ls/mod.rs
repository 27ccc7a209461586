//! JPEG-LS (ISO/IEC 14495-1, ITU-T T.87) of one component, lossless and near-lossless.
//!
//! CharLS, which dicom-rs wraps, is no faster, needs cmake and a C++ compiler, and refuses some streams of old
//! writers for a byte too many at their end. An encoder uses the same model: `ctprune-encode`.

mod decode;
mod model;
mod parameters;
mod scan;

pub use self::decode::decode;
pub use self::model::{Context, Model, RunContext, signed, signed_context};
pub use self::parameters::{Parameters, Preset};
