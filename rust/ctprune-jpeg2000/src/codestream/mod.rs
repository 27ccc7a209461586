//! From bytes to parameters and packets' bytes: the markers of ISO/IEC 15444-1 Annex A.

mod coding;
mod parts;
mod quantization;
mod reader;
mod size;

pub(crate) use self::coding::{Coding, Progression, ProgressionChange, Style};
pub(crate) use self::parts::{Codestream, TileStream};
pub(crate) use self::size::{Rect, Size};
