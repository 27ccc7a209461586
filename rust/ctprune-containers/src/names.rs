//! Names of members as parts of addresses: relative, with `/` between folders, and never leading out of the container.

/// Longest name: no file system takes a longer path.
const MAX_NAME: usize = 4096;

/// A name that cannot be part of an address: what is shown instead, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct BadName {
    /// As much of it as can be shown.
    pub shown: String,
    /// What is wrong with it, and what to do.
    pub reason: &'static str,
}

/// A member's name as it stands in its address.
///
/// Leading slashes, empty parts and `.` are left out, as all unpackers do; `\` becomes `/`: some writers on Windows put
/// it there. Two members may get one name; who makes an index sees to that.
pub fn member_name(raw: &[u8]) -> Result<String, BadName> {
    let bad = |reason| BadName {
        shown: shown(raw),
        reason,
    };
    if raw.len() > MAX_NAME {
        return Err(bad(
            "name of more than 4,096 bytes: repack the archive with shorter names",
        ));
    }
    let Ok(text) = std::str::from_utf8(raw) else {
        return Err(bad(
            "name is not valid Unicode: repack the archive with names in UTF-8",
        ));
    };
    if text.contains('\0') {
        return Err(bad("name with a zero byte: repack the archive with other names"));
    }
    let mut name = String::with_capacity(text.len());
    for part in text.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => return Err(bad("name leads out of the archive ('..'): repack it without")),
            part => {
                if !name.is_empty() {
                    name.push('/');
                }
                name.push_str(part);
            }
        }
    }
    if name.is_empty() {
        return Err(bad("no name: repack the archive with names"));
    }
    Ok(name)
}

/// Whether it is the name of a folder.
pub fn is_folder(raw: &[u8]) -> bool {
    matches!(raw.last(), Some(b'/' | b'\\'))
}

/// What can be shown of a name, without what would make it another path.
fn shown(raw: &[u8]) -> String {
    let start = &raw[..raw.len().min(255)];
    let text = String::from_utf8_lossy(start).replace(['/', '\\', '\0'], "_");
    match text.as_str() {
        "" | "." | ".." => "_".into(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_relative_paths() {
        let name = |raw: &str| member_name(raw.as_bytes()).unwrap();
        assert_eq!(name("a/b.dcm"), "a/b.dcm");
        assert_eq!(name("/a//./b.dcm"), "a/b.dcm");
        assert_eq!(name("a\\b.dcm"), "a/b.dcm");
        assert_eq!(name("C:/é\n..x"), "C:/é\n..x");
        assert_eq!(name("..."), "...");
    }

    #[test]
    fn names_that_are_no_relative_path_are_refused() {
        let long = "x".repeat(5000);
        for raw in [
            "../x",
            "a/../../x",
            "..",
            ".",
            "\\..\\x",
            "",
            "/",
            "./.",
            "a\0b",
            &long,
        ] {
            let bad = member_name(raw.as_bytes()).unwrap_err();
            assert!(!bad.shown.contains(['/', '\\', '\0']), "{raw:?}");
            assert!(!["", ".", ".."].contains(&bad.shown.as_str()), "{raw:?}");
            assert!(bad.shown.len() <= 255);
        }
        assert!(member_name(b"a\xff").unwrap_err().reason.contains("Unicode"));
    }
}
