//! A tile's resolution levels, bands, precincts and code-blocks, and the packets that fill them.

mod bits;
mod layout;
mod order;
mod packet;
mod tag_tree;

pub(crate) use self::layout::{Block, Orientation, Piece, Resolution, Tile};
pub(crate) use self::packet::passes_left_in_segment;
