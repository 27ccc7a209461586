//! Tag trees (ISO/IEC 15444-1 B.10.2): a table of numbers, coded as minima of ever larger groups.

use super::bits::HeaderBits;
use crate::Error;

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// The value is at least this.
    low: u32,
    known: bool,
}

/// A tree over `width × height` leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagTree {
    /// Leaves first, then level by level up to the root.
    nodes: Vec<Node>,
    /// Start and width of each level in `nodes`.
    levels: Vec<(usize, usize)>,
}

impl TagTree {
    pub fn new(width: usize, height: usize) -> Self {
        let mut tree = TagTree::default();
        let (mut width, mut height, mut start) = (width, height, 0);
        while width * height > 0 {
            tree.levels.push((start, width));
            start += width * height;
            if width * height == 1 {
                break;
            }
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        tree.nodes = vec![Node::default(); start];
        tree
    }

    /// Whether the value of leaf `(x, y)` is below `limit`; reads as many bits as that takes.
    pub fn is_below(
        &mut self,
        (x, y): (usize, usize),
        limit: u32,
        bits: &mut HeaderBits<'_>,
    ) -> Result<bool, Error> {
        let mut low = 0;
        let mut known = false;
        for (level, &(start, width)) in self.levels.iter().enumerate().rev() {
            let node = &mut self.nodes[start + (y >> level) * width + (x >> level)];
            node.low = node.low.max(low);
            while node.low < limit && !node.known {
                match bits.bit()? {
                    0 => node.low += 1,
                    _ => node.known = true,
                }
            }
            (low, known) = (node.low, node.known);
        }
        Ok(known && low < limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_read() {
        // B.10.2: leaves 1, 3, 2 of a row of six by three are coded as 01111, 001, 101.
        let mut bits = HeaderBits::new(&[0b0111_1001, 0b1010_0000]);
        let mut tree = TagTree::new(6, 3);
        for (x, value) in [(0, 1), (1, 3), (2, 2)] {
            let found = (0..).find(|&n| tree.is_below((x, 0), n + 1, &mut bits).unwrap());
            assert_eq!(found, Some(value));
        }
    }
}
