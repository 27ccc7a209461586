//! The greedy exemplar rule on cosine similarity word for word: what the fast way is tested against.

use super::{CosineSelection, check};
use crate::selection::{Reach, SelectError};
use crate::similarity::cosine::{Embeddings, similarity};

/// [`super::exemplars`], each row against each kept row.
pub fn exemplars(
    embeddings: Embeddings<'_>,
    starts: &[usize],
    threshold: f64,
    reach: Reach<'_>,
) -> Result<CosineSelection, SelectError> {
    check(embeddings, starts, threshold, reach)?;
    let mut selection = CosineSelection::all(embeddings.len());
    for group in starts.windows(2) {
        let mut kept: Vec<usize> = Vec::new();
        for row in group[0]..group[1] {
            let near = kept.iter().filter(|&&k| reach.allows(row, k));
            let mut similar = near.map(|&k| (k, similarity(embeddings, row, k)));
            match similar.find(|&(_, similarity)| f64::from(similarity) >= threshold) {
                Some((k, similarity)) => {
                    (selection.exemplar[row], selection.similarity[row]) = (k as u32, similarity);
                }
                None => kept.push(row),
            }
        }
    }
    Ok(selection)
}
