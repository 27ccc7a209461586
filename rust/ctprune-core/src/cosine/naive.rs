//! The greedy exemplar rule on cosine similarity word for word: what the fast way is tested against.

use super::{CosineSelection, Embeddings, check, cosine};
use crate::select::SelectError;

/// Cosine similarity of rows `a` and `b`.
pub fn similarity(embeddings: Embeddings<'_>, a: usize, b: usize) -> f32 {
    let products = embeddings.row(a).zip(embeddings.row(b));
    let dot = products.fold(0.0, |sum, (x, y)| sum + f64::from(x) * f64::from(y));
    cosine(dot, embeddings.length(a), embeddings.length(b))
}

/// [`super::leader_in_groups`], each row against each kept row.
pub fn leader_in_groups(
    embeddings: Embeddings<'_>,
    starts: &[usize],
    threshold: f64,
) -> Result<CosineSelection, SelectError> {
    check(embeddings, starts, threshold)?;
    let mut selection = CosineSelection {
        exemplar: (0..embeddings.len() as u32).collect(),
        similarity: vec![1.0; embeddings.len()],
    };
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
