//! Greedy facility location word for word: what the lazy way is tested against.

use super::graph::Edge;

/// The rows that are kept, in the order in which they are taken: always the one that adds most, ties to the first.
pub fn greedy(graph: &[Vec<Edge>], count: usize) -> Vec<u32> {
    let mut kept: Vec<u32> = Vec::new();
    let worth = |kept: &[u32]| -> u64 {
        let of_row = |edges: &Vec<Edge>| {
            let served = edges.iter().filter(|edge| kept.contains(&edge.to));
            served.map(|edge| u64::from(edge.weight)).max().unwrap_or(0)
        };
        graph.iter().map(of_row).sum()
    };
    while kept.len() < count.min(graph.len()) {
        let mut best: Option<(u64, u32)> = None;
        for row in (0..graph.len() as u32).filter(|row| !kept.contains(row)) {
            let with = worth(&[&kept[..], &[row]].concat());
            if best.is_none_or(|(most, _)| with > most) {
                best = Some((with, row));
            }
        }
        kept.extend(best.map(|(_, row)| row));
    }
    kept
}
