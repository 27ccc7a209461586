//! The manifest's columns, in batches of rows: out to a new manifest, in from an earlier one.

pub mod arrow;
mod earlier;
mod out;

pub use earlier::EarlierRows;
pub use earlier::words;
pub use out::{Columns, manifest_columns, part_columns};
