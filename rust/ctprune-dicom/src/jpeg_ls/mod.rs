//! What the decoder and the encoder of JPEG-LS (ISO/IEC 14495-1, ITU-T T.87) share.

pub(crate) mod model;
pub(crate) mod parameters;
#[cfg(test)]
pub(crate) mod truth;
