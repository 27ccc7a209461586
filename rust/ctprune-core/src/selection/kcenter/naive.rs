//! Farthest first word for word: what the fast way is tested against.

use crate::selection::PointSelection;

/// One group of `count` points that are `apart(a, b)`: the kept ones in the order in which they were taken, each with how
/// far it was from those before it, and the selection. It ends after `most`, or when no point is farther than `until`.
pub fn farthest_first(
    count: usize,
    apart: impl Fn(usize, usize) -> f32,
    most: usize,
    until: f64,
) -> (Vec<(usize, f32)>, PointSelection) {
    let mut exemplar = vec![0u32; count];
    let mut nearest = vec![f32::INFINITY; count];
    let mut kept: Vec<(usize, f32)> = Vec::new();
    while kept.len() < most.min(count) {
        let is_open = |row: &usize| kept.iter().all(|(center, _)| center != row);
        let farthest = (0..count).filter(is_open).reduce(|a, b| {
            // The first of equals.
            if nearest[b] > nearest[a] { b } else { a }
        });
        let Some(next) = farthest else { break };
        if f64::from(nearest[next]) <= until {
            break;
        }
        kept.push((next, nearest[next]));
        for row in 0..count {
            let found = apart(next, row);
            if found < nearest[row] {
                (nearest[row], exemplar[row]) = (found, next as u32);
            }
        }
    }
    for &(center, _) in &kept {
        (exemplar[center], nearest[center]) = (center as u32, 0.0);
    }
    let measured = nearest;
    (kept, PointSelection { exemplar, measured })
}
