//! Huffman codes for the 17 difference categories of lossless JPEG (ITU-T T.81 H.1.2.2, Annex C).

/// Categories SSSS 0 to 16.
pub const SYMBOLS: usize = 17;
const LONGEST_CODE: u8 = 16;

/// A canonical code: `bits[s]` of length `lengths[s]` for category `s`; length 0 where `s` does not occur.
pub struct Code {
    /// The code words, right-aligned.
    pub bits: [u16; SYMBOLS],
    /// Their lengths, 1 to 16, or 0.
    pub lengths: [u8; SYMBOLS],
}

impl Code {
    /// The shortest code for these counts that JPEG allows: at most 16 bits, none of all ones.
    pub fn for_counts(counts: &[u64; SYMBOLS]) -> Self {
        let mut weights: Vec<u64> = counts.to_vec();
        // A rarest extra symbol takes the all-ones code (T.81 K.2 does the same).
        weights.push(1);
        let mut lengths = code_lengths(&weights);
        // 18 symbols can need 17 bits; flatter weights need fewer, and equal ones need 5.
        while lengths.iter().any(|&l| l > LONGEST_CODE) {
            weights
                .iter_mut()
                .filter(|w| **w > 0)
                .for_each(|w| *w = *w / 2 + 1);
            lengths = code_lengths(&weights);
        }
        Self::canonical(&lengths)
    }

    /// Assigns code words in order of length, then symbol (T.81 Annex C). The reserved symbol is the last of
    /// the longest, so dropping it leaves no code of all ones.
    fn canonical(lengths: &[u8]) -> Self {
        let mut code = Code {
            bits: [0; SYMBOLS],
            lengths: [0; SYMBOLS],
        };
        code.lengths.copy_from_slice(&lengths[..SYMBOLS]);
        let mut next = 0u32;
        for length in 1..=LONGEST_CODE {
            next <<= 1;
            for symbol in (0..SYMBOLS).filter(|&s| lengths[s] == length) {
                code.bits[symbol] = next as u16;
                next += 1;
            }
        }
        code
    }

    /// The symbols in the order of their code words, as a DHT segment lists them.
    pub fn symbols_by_length(&self) -> Vec<u8> {
        (1..=LONGEST_CODE)
            .flat_map(|length| (0..SYMBOLS).filter(move |&s| self.lengths[s] == length))
            .map(|symbol| symbol as u8)
            .collect()
    }

    /// How many code words have each length, 1 to 16.
    pub fn counts_by_length(&self) -> [u8; 16] {
        let mut counts = [0; 16];
        self.lengths
            .iter()
            .filter(|&&l| l > 0)
            .for_each(|&l| counts[usize::from(l) - 1] += 1);
        counts
    }
}

/// Huffman's algorithm by repeated search for the two lightest nodes: 18 symbols need no heap.
///
/// On ties the later symbol counts as lighter, so that the reserved last symbol ends among the longest codes.
fn code_lengths(weights: &[u64]) -> Vec<u8> {
    let mut lengths = vec![0u8; weights.len()];
    let mut nodes: Vec<(u64, Vec<usize>)> = weights
        .iter()
        .enumerate()
        .filter(|(_, w)| **w > 0)
        .map(|(s, &w)| (w, vec![s]))
        .collect();
    while nodes.len() > 1 {
        let (light, mut members) = take_lightest(&mut nodes);
        let (other, more) = take_lightest(&mut nodes);
        members.extend(more);
        members.iter().for_each(|&s| lengths[s] += 1);
        nodes.push((light + other, members));
    }
    lengths
}

fn take_lightest(nodes: &mut Vec<(u64, Vec<usize>)>) -> (u64, Vec<usize>) {
    let newest_symbol = |members: &[usize]| members.iter().max().copied();
    let lightest = (0..nodes.len())
        .min_by_key(|&i| (nodes[i].0, std::cmp::Reverse(newest_symbol(&nodes[i].1))))
        .unwrap_or(0);
    nodes.swap_remove(lightest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_valid(counts: &[u64; SYMBOLS]) {
        let code = Code::for_counts(counts);
        for a in (0..SYMBOLS).filter(|&s| counts[s] > 0) {
            let (length, bits) = (code.lengths[a], code.bits[a]);
            assert!((1..=16).contains(&length), "{counts:?}");
            assert_ne!(u32::from(bits), (1 << length) - 1, "all ones: {counts:?}");
            for b in (0..SYMBOLS).filter(|&b| b != a && code.lengths[b] >= length) {
                assert_ne!(
                    code.bits[b] >> (code.lengths[b] - length),
                    bits,
                    "prefix: {counts:?}"
                );
            }
        }
    }

    #[test]
    fn codes_are_prefix_free_short_and_never_all_ones() {
        let mut fibonacci = [1u64; SYMBOLS];
        (2..SYMBOLS).for_each(|i| fibonacci[i] = fibonacci[i - 1] + fibonacci[i - 2]);
        let mut single = [0; SYMBOLS];
        single[3] = 1_000_000;
        let mut steep = [0; SYMBOLS];
        (0..SYMBOLS).for_each(|i| steep[i] = 3u64.pow(i as u32));
        for counts in [[1; SYMBOLS], fibonacci, single, steep] {
            assert_valid(&counts);
        }
    }
}
