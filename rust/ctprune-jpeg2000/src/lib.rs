//! JPEG 2000 (ISO/IEC 15444-1) and HTJ2K (15444-15) codestreams of one component and up to 16 bits to samples.
//!
//! All that CT archives hold is decoded: both transforms, tiles, precincts, layers, every progression order,
//! every code-block style, changes of the progression order, regions of interest. What is refused, as
//! [`Error::Unsupported`]: several or subsampled components, packed packet headers, and HT blocks with refinement passes.
//! Of the 76 streams of one component in OpenJPEG's test data (CT of several makers among them), every one
//! that the standard allows and that is not subsampled gives OpenJPEG's values.
//!
//! Values are OpenJPEG's, in the irreversible transform too. Sizes are checked before memory is taken: beside
//! the samples it is some bytes for each code-block, and of those there is a limit.

mod block;
mod codestream;
mod decode;
mod error;
mod tile;
mod wavelet;

pub use self::decode::Decoder;
pub use self::error::Error;
