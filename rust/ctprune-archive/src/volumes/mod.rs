//! Slices to volumes, each in order.

pub mod geometry;
pub mod group;
pub mod order;
pub mod spacing;
