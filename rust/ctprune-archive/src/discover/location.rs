//! Where the bytes of a file are: in a file, in a member of a container, behind an address.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// Ends the name of a container whose members stand behind it like the files of a folder.
pub const CONTAINER_MARK: char = '!';

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// In this file.
    File(PathBuf),
    /// In a member of a container, such as a zip file.
    Member {
        /// The container's file.
        container: PathBuf,
        /// The member's path in it; `inner.zip!/1.dcm` in a container within the container.
        member: String,
    },
    /// Not on this machine: who can fetch it knows the address.
    Remote(String),
}

impl Location {
    /// The location of an address, as it stands in a manifest as source and path.
    ///
    /// Looks at the file system only where a folder's name ends in `!`: such a folder may be there.
    pub fn parse<T: AsRef<OsStr>>(address: T) -> Self {
        let address = address.as_ref();
        match address.to_str() {
            Some(text) if is_remote(text) => return Location::Remote(text.to_owned()),
            Some(text) if !text.contains(CONTAINER_MARK) => return Location::File(address.into()),
            _ => {}
        }
        member_of_container(Path::new(address)).unwrap_or_else(|| Location::File(address.into()))
    }

    /// The address of what is on another machine.
    pub fn remote(&self) -> Option<&str> {
        match self {
            Location::Remote(address) => Some(address),
            _ => None,
        }
    }

    /// The address that [`Location::parse`] takes.
    pub fn address(&self) -> PathBuf {
        match self {
            Location::File(path) => path.clone(),
            Location::Remote(address) => PathBuf::from(address),
            Location::Member { container, member } => {
                let mut marked = container.clone().into_os_string();
                marked.push(CONTAINER_MARK.to_string());
                let mut path = PathBuf::from(marked);
                path.extend(member.split('/'));
                path
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().display().fmt(f)
    }
}

/// Whether an address is one of another machine: `s3://…`, `https://…`, `dicomweb+https://…`.
pub fn is_remote(address: &str) -> bool {
    let Some((scheme, _)) = address.split_once("://") else {
        return false;
    };
    // One letter is a drive of Windows.
    scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The outermost container on a path, and the member in it.
fn member_of_container(path: &Path) -> Option<Location> {
    let components: Vec<Component<'_>> = path.components().collect();
    let mut marked = PathBuf::new();
    for (number, component) in components.iter().enumerate() {
        marked.push(component);
        let last = number + 1 == components.len();
        let name = component.as_os_str().to_str().unwrap_or_default();
        let Some(name) = name
            .strip_suffix(CONTAINER_MARK)
            .filter(|name| !name.is_empty() && !last)
        else {
            continue;
        };
        let container = marked.with_file_name(name);
        // A folder whose name ends in `!` is what it looks like.
        if !marked.is_dir() && container.is_file() {
            let rest = components[number + 1..].iter();
            let names: Option<Vec<&str>> = rest.map(|part| part.as_os_str().to_str()).collect();
            let member = names?.join("/");
            return Some(Location::Member { container, member });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn addresses_of_other_machines_are_told_from_paths() {
        for address in ["s3://bucket/a//b", "https://x/y", "dicomweb+https://x/studies/1"] {
            assert_eq!(Location::parse(address), Location::Remote(address.into()));
            assert_eq!(Location::parse(address).address(), PathBuf::from(address));
        }
        for path in ["/a/b", "c://x", "a", "a:/b", "://x", "1s://x", "a b://x"] {
            assert_eq!(Location::parse(path), Location::File(path.into()));
        }
    }

    #[test]
    fn a_member_is_one_where_the_container_is_a_file() {
        let root = std::env::temp_dir().join(format!("ctprune-location-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("folder!")).unwrap();
        fs::create_dir_all(root.join("both!")).unwrap();
        for file in ["a.zip", "both", "folder!/1.dcm"] {
            fs::write(root.join(file), "x").unwrap();
        }
        let parse = |path: &str| Location::parse(root.join(path));
        let member = |member: &str| Location::Member {
            container: root.join("a.zip"),
            member: member.into(),
        };
        assert_eq!(parse("a.zip!/s/1.dcm"), member("s/1.dcm"));
        assert_eq!(parse("a.zip!/b.zip!/1.dcm"), member("b.zip!/1.dcm"));
        assert_eq!(
            member("b.zip!/1.dcm").address(),
            root.join("a.zip!").join("b.zip!").join("1.dcm")
        );
        for file in [
            "a.zip",
            "a.zip!",
            "folder!/1.dcm",
            "both!/1.dcm",
            "gone.zip!/1.dcm",
            "!/1",
        ] {
            assert_eq!(parse(file), Location::File(root.join(file)), "{file}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
