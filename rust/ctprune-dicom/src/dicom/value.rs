//! Values of elements as text and numbers (PS3.5 section 6.2), read leniently.

use super::element::Encoding;
use crate::text::{MAX_TEXT_BYTES, limit_text, limit_uid};

/// The text without the padding around it, cut to [`MAX_TEXT_BYTES`]. Bytes that are not UTF-8 become replacement
/// characters: the attributes read here are of the default repertoire, so nothing that is wanted is lost.
pub(crate) fn set_text(target: &mut String, value: &[u8]) {
    let value = trimmed(value);
    // A replacement character is as long as three bytes that it stands for, at most.
    set_whole(target, &value[..value.len().min(MAX_TEXT_BYTES + 4)]);
    limit_text(target);
}

/// The same for a UID, cut to [`MAX_UID_BYTES`](crate::text::MAX_UID_BYTES).
pub(crate) fn set_uid(target: &mut String, value: &[u8]) {
    set_whole(target, trimmed(value));
    limit_uid(target);
}

fn set_whole(target: &mut String, value: &[u8]) {
    target.clear();
    match std::str::from_utf8(value) {
        Ok(text) => target.push_str(text),
        Err(_) => target.push_str(&String::from_utf8_lossy(value)),
    }
}

/// `value` without leading and trailing white space, NUL included (some writers pad text with it).
pub(crate) fn trimmed(value: &[u8]) -> &[u8] {
    let is_padding = |b: &u8| b.is_ascii_whitespace() || *b == 0;
    let Some(start) = value.iter().position(|b| !is_padding(b)) else {
        return &[];
    };
    let end = value
        .iter()
        .rposition(|b| !is_padding(b))
        .map_or(start, |last| last + 1);
    &value[start..end]
}

/// Decimal String or Integer String: the first value.
pub(crate) fn decimal(value: &[u8]) -> Option<f64> {
    decimal_of(value.split(|&b| b == b'\\').next()?)
}

fn decimal_of(part: &[u8]) -> Option<f64> {
    std::str::from_utf8(trimmed(part)).ok()?.parse().ok()
}

/// Decimal String of exactly `N` finite values.
pub(crate) fn decimals<const N: usize>(value: &[u8]) -> Option<[f64; N]> {
    let mut out = [0.0; N];
    let mut parts = value.split(|&b| b == b'\\');
    for slot in &mut out {
        *slot = decimal_of(parts.next()?).filter(|v| v.is_finite())?;
    }
    parts.next().is_none().then_some(out)
}

/// Integer String: the first value. `1.0` counts as 1: such strings exist.
pub(crate) fn integer(value: &[u8]) -> Option<i64> {
    let number = decimal(value)?;
    // The bounds are those of Integer String (PS3.5 table 6.2-1), well inside what f64 holds exactly.
    (number.fract() == 0.0 && number.abs() <= f64::from(u32::MAX)).then_some(number as i64)
}

/// Unsigned Short; four bytes are read as Unsigned Long, which wrong writers use.
pub(crate) fn unsigned(value: &[u8], encoding: Encoding) -> Option<u32> {
    if value.len() == 4 {
        return Some(encoding.u32(*value.first_chunk()?));
    }
    value.first_chunk().map(|&bytes| u32::from(encoding.u16(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Encoding = Encoding {
        explicit: true,
        big_endian: false,
    };

    #[test]
    fn text_is_trimmed_of_spaces_and_nuls() {
        let mut text = String::from("old");
        set_text(&mut text, b" 1.2.840\0");
        assert_eq!(text, "1.2.840");
        set_text(&mut text, b" \0");
        assert_eq!(text, "");
        set_text(&mut text, b"B\xFF");
        assert_eq!(text, "B\u{FFFD}");
    }

    #[test]
    fn numbers_are_read_with_their_padding() {
        assert_eq!(decimal(b" -1024 "), Some(-1024.0));
        assert_eq!(decimal(b"1.5e2\\7"), Some(150.0));
        assert_eq!(decimal(b""), None);
        assert_eq!(decimals::<2>(b"0.5\\0.25 "), Some([0.5, 0.25]));
        assert_eq!(decimals::<2>(b"0.5\\0.25\\1"), None);
        assert_eq!(decimals::<2>(b"0.5\\nan"), None);
        assert_eq!(integer(b"12 "), Some(12));
        assert_eq!(integer(b"1A"), None);
        assert_eq!(integer(b"1e300"), None);
    }

    #[test]
    fn unsigned_takes_short_and_long() {
        assert_eq!(unsigned(&[0, 2], LITTLE), Some(512));
        assert_eq!(unsigned(&[0, 2, 0, 0], LITTLE), Some(512));
        assert_eq!(
            unsigned(
                &[2, 0],
                Encoding {
                    explicit: true,
                    big_endian: true
                }
            ),
            Some(512)
        );
        assert_eq!(unsigned(&[2], LITTLE), None);
    }
}
