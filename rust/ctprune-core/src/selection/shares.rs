//! How a number of slices is shared out among groups.

/// Shares out `total` so that all groups get the same, and those that are too small all that they have: the rest goes
/// to the others. What is left when it does not divide goes to the first.
///
/// ```
/// use ctprune_core::selection::even_shares;
/// assert_eq!(even_shares(&[10, 2, 10, 10], 12), [4, 2, 3, 3]);
/// ```
pub fn even_shares(sizes: &[usize], total: usize) -> Vec<usize> {
    let mut ascending: Vec<usize> = (0..sizes.len()).collect();
    ascending.sort_by_key(|&group| sizes[group]);
    let (mut left, mut groups) = (total, sizes.len());
    let mut level = 0;
    for &group in &ascending {
        // What every group from here on gets at least.
        if left / groups < sizes[group] {
            level = left / groups;
            break;
        }
        level = sizes[group];
        left -= level;
        groups -= 1;
    }
    let mut shares: Vec<usize> = sizes.iter().map(|&size| size.min(level)).collect();
    let given: usize = shares.iter().sum();
    let mut rest = total.saturating_sub(given);
    for (share, &size) in shares.iter_mut().zip(sizes) {
        if rest > 0 && *share < size {
            *share += 1;
            rest -= 1;
        }
    }
    shares
}

/// Shares out `total` in proportion to the sizes of groups, no more than these: rounded down, and what is left to the
/// largest remainders, ties to the first.
///
/// ```
/// use ctprune_core::selection::proportional_shares;
/// assert_eq!(proportional_shares(&[50, 30, 20], 5), [3, 1, 1]);
/// ```
pub fn proportional_shares(sizes: &[usize], total: usize) -> Vec<usize> {
    let all: u128 = sizes.iter().map(|&size| size as u128).sum();
    if all == 0 {
        return vec![0; sizes.len()];
    }
    let total = (total as u128).min(all);
    let exact = |size: usize| size as u128 * total;
    let mut shares: Vec<usize> = sizes.iter().map(|&size| (exact(size) / all) as usize).collect();
    let given: u128 = shares.iter().map(|&share| share as u128).sum();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&group| std::cmp::Reverse(exact(sizes[group]) % all));
    for &group in by_remainder.iter().take((total - given) as usize) {
        shares[group] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One at a time to the group that has least, ties to the first.
    fn one_by_one(sizes: &[usize], total: usize) -> Vec<usize> {
        let mut shares = vec![0; sizes.len()];
        for _ in 0..total.min(sizes.iter().sum()) {
            let open = (0..sizes.len()).filter(|&group| shares[group] < sizes[group]);
            let least = open.min_by_key(|&group| shares[group]).unwrap();
            shares[least] += 1;
        }
        shares
    }

    #[test]
    fn even_shares_are_those_of_one_after_the_other() {
        for sizes in [
            vec![],
            vec![0],
            vec![3],
            vec![7, 0, 1, 4, 4, 9],
            vec![5; 6],
            vec![1, 100, 2],
        ] {
            for total in 0..130 {
                assert_eq!(
                    even_shares(&sizes, total),
                    one_by_one(&sizes, total),
                    "{sizes:?} {total}"
                );
            }
        }
    }

    #[test]
    fn proportional_shares_add_up_and_are_off_by_less_than_one() {
        assert_eq!(proportional_shares(&[0, 0], 3), [0, 0]);
        for sizes in [vec![3], vec![7, 0, 1, 4, 4, 9], vec![5; 6], vec![1, 100, 2]] {
            let all: usize = sizes.iter().sum();
            for total in 0..=all {
                let shares = proportional_shares(&sizes, total);
                assert_eq!(shares.iter().sum::<usize>(), total);
                for (&share, &size) in shares.iter().zip(&sizes) {
                    assert!(share <= size);
                    assert!((share as f64 - size as f64 * total as f64 / all as f64).abs() < 1.0);
                }
            }
        }
    }
}
