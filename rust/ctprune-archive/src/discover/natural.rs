//! Natural order of paths: runs of digits compare as numbers, so `slice_2` comes before `slice_10`.

use std::cmp::Ordering;

/// Compare two texts in natural order; texts that differ only in leading zeros fall back to plain order.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    loop {
        match (x.first(), y.first()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(p), Some(q)) if p.is_ascii_digit() && q.is_ascii_digit() => {
                let (number_a, rest_a) = split_number(x);
                let (number_b, rest_b) = split_number(y);
                // Without leading zeros the longer number is the larger; no overflow at any length.
                let order = number_a
                    .len()
                    .cmp(&number_b.len())
                    .then_with(|| number_a.cmp(number_b));
                if order.is_ne() {
                    return order;
                }
                (x, y) = (rest_a, rest_b);
            }
            (Some(p), Some(q)) => {
                if p != q {
                    return p.cmp(q);
                }
                (x, y) = (&x[1..], &y[1..]);
            }
        }
    }
}

/// Leading digits without leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|c| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let start = text[..end].iter().position(|&c| c != b'0').unwrap_or(end);
    (&text[start..end], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        let mut names = vec!["s_10.png", "s_2.png", "s_1.png", "a", "s_02.png", "s_", "s_2"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(
            names,
            ["a", "s_", "s_1.png", "s_2", "s_02.png", "s_2.png", "s_10.png"]
        );
    }

    #[test]
    fn numbers_longer_than_any_integer_compare() {
        let long = "9".repeat(60);
        assert_eq!(compare(&long, &format!("1{long}")), Ordering::Less);
        assert_eq!(compare("1.2.840.9", "1.2.840.10"), Ordering::Less);
    }

    #[test]
    fn order_is_total() {
        let names = ["01", "1", "001", "1a", "a1", "a01", ""];
        for a in names {
            for b in names {
                assert_eq!(compare(a, b), compare(b, a).reverse());
                assert_eq!(compare(a, b) == Ordering::Equal, a == b);
            }
        }
    }
}
