//! Pixels of chosen slices: visited file by file ([`visit`]), as Hounsfield units ([`hu`]), resized for training
//! ([`resize`]) or written as pictures ([`png`]).

mod error;
pub mod hu;
pub mod png;
pub mod resize;
pub mod visit;

pub use error::PixelError;
