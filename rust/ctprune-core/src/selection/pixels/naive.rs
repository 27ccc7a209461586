//! The greedy exemplar rule on any similarity, word for word: what the fast way is tested against.

/// Exemplar of each of `slices` slices, by the rule.
pub fn exemplars(slices: usize, similar: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    let mut exemplars = Vec::new();
    for slice in 0..slices {
        let exemplar = kept.iter().copied().find(|&earlier| similar(slice, earlier));
        if exemplar.is_none() {
            kept.push(slice);
        }
        exemplars.push(exemplar.unwrap_or(slice));
    }
    exemplars
}
