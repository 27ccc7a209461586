//! What of a header's texts is taken over: as much as a sound file holds, and nothing that could be a name.

/// Longest UID in bytes (PS3.5 section 9.1).
pub const MAX_UID_BYTES: usize = 64;

/// Longest other text in bytes: a hostile header may hold gigabytes, and every frame has a row.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Cuts a text to [`MAX_TEXT_BYTES`].
pub fn limit_text(text: &mut String) {
    cut(text, MAX_TEXT_BYTES);
}

/// Cuts a UID to [`MAX_UID_BYTES`]. Its last 17 bytes are then a hash of the whole, so that different UIDs, which
/// may share a long beginning, stay different.
pub fn limit_uid(uid: &mut String) {
    if uid.len() > MAX_UID_BYTES {
        let hash = fnv_1a(uid.as_bytes());
        cut(uid, MAX_UID_BYTES - 17);
        uid.push_str(&format!("-{hash:016x}"));
    }
}

/// Cuts a text to so many bytes or a few fewer: between characters.
fn cut(text: &mut String, bytes: usize) {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// FNV-1a: the same on every machine and in every version.
fn fnv_1a(bytes: &[u8]) -> u64 {
    fnv_1a_from(0xcbf2_9ce4_8422_2325, bytes)
}

fn fnv_1a_from(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(hash, step)
}

/// What is kept of a Patient ID until the study is known.
pub fn patient_hash(patient_id: &[u8]) -> u64 {
    fnv_1a(patient_id)
}

/// Eight bits that differ, but for one chance in 256, between two patients of a study. Eight, so that one patient in 256
/// has the same: they confirm no guess of an ID.
pub fn patient_check(patient_hash: u64, study_instance_uid: &str) -> u8 {
    let hash = fnv_1a_from(patient_hash, study_instance_uid.as_bytes());
    // The multiplication of FNV carries upwards only: fold the upper half in.
    hash.to_le_bytes().iter().fold(0, |all, byte| all ^ byte)
}

/// The values of a text between backslashes that are Code Strings, the others left empty.
pub fn code_strings(text: &str) -> String {
    let codes: Vec<&str> = text.split('\\').map(|value| code_string(value.trim())).collect();
    codes.join("\\")
}

/// The text if it is a Code String (PS3.5 section 6.2), else an empty one: a damaged file may hold a name there.
pub fn code_string(text: &str) -> &str {
    let is_code = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b' ' | b'_');
    if text.len() <= 16 && text.bytes().all(is_code) {
        text
    } else {
        ""
    }
}

/// The text if it has the characters of a UID (PS3.5 section 9.1), else an empty one.
pub fn uid(text: &str) -> &str {
    if text.len() <= MAX_UID_BYTES && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        text
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut text = "ä".repeat(1000);
        limit_text(&mut text);
        assert_eq!(text.len(), 1024);
        let mut text = format!("a{}", "ä".repeat(1000));
        limit_text(&mut text);
        assert_eq!(text.len(), 1023);
    }

    #[test]
    fn long_uids_stay_different() {
        let long = |end: &str| {
            let mut uid = "1.2.840.".repeat(10) + end;
            limit_uid(&mut uid);
            uid
        };
        assert_eq!(long("1").len(), MAX_UID_BYTES);
        assert_ne!(long("1"), long("2"));
        assert_eq!(long("1"), long("1"));
        let mut legal = "1".repeat(MAX_UID_BYTES);
        limit_uid(&mut legal);
        assert_eq!(legal, "1".repeat(MAX_UID_BYTES));
    }

    #[test]
    fn only_codes_and_uids_are_taken_over() {
        assert_eq!((code_string("CT"), code_string("John Doe")), ("CT", ""));
        assert_eq!(
            (uid("1.2.840.10008.1.2"), uid("1.2 Doe^John")),
            ("1.2.840.10008.1.2", "")
        );
    }
}
