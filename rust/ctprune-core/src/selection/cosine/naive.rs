//! The greedy exemplar rule on cosine similarity word for word: what the fast way is tested against.

use super::{CosineSelection, check};
use crate::selection::SelectError;
use crate::similarity::cosine::{Embeddings, similarity};

/// [`super::exemplars`], each row against each kept row.
pub fn exemplars(
    embeddings: Embeddings<'_>,
    starts: &[usize],
    threshold: f64,
) -> Result<CosineSelection, SelectError> {
    check(embeddings, starts, threshold)?;
    let mut selection = CosineSelection::all(embeddings.len());
    for group in starts.windows(2) {
        let mut kept: Vec<usize> = Vec::new();
        for row in group[0]..group[1] {
            let mut similar = kept.iter().map(|&k| (k, similarity(embeddings, row, k)));
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
