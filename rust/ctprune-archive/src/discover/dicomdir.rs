//! The files that a DICOMDIR lists, found under names that writers and disks have changed.
//!
//! A Referenced File ID (PS3.10 8.2) has capital letters and no ending. On the disk, `IMG001` may be `img001`,
//! `IMG001.DCM` or, on a CD read without extensions of ISO 9660, `IMG001.;1`.

use crate::discover::files::{Files, Stamp};
use crate::discover::walk::{Found, stamp};
use ctprune_dicom::dicom::{listed_files, listed_in};
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::Refusal;
use rustc_hash::FxHashMap;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that are looked for before the caller can draw progress.
const AT_A_TIME: usize = 256;

const EMPTY: &str = "the DICOMDIR lists no file";
const MISSING: &str = "listed in the DICOMDIR, but not found";
const SEVERAL: &str = "listed in the DICOMDIR, but several files match: rename the others";

/// Whether a file is a DICOMDIR by its name.
pub fn is_dicomdir(name: &str) -> bool {
    stem(name).eq_ignore_ascii_case("DICOMDIR")
}

/// A DICOMDIR, whose files are looked for a few at a time.
pub struct Listed {
    root: PathBuf,
    source: u32,
    files: std::vec::IntoIter<Vec<String>>,
    folders: FxHashMap<PathBuf, Names>,
    /// Paths that were reported: several records may refer to one file.
    seen: HashSet<String>,
}

/// A file that a DICOMDIR lists: its path, and why it is not there.
pub type Resolved = (String, Result<(), ReadError>);

/// The files that the DICOMDIR in these bytes lists, each once, among these paths relative to its folder.
///
/// So a DICOMDIR is followed where there is no folder: in a container, and in an object store.
pub fn listed_among<'a>(
    bytes: &[u8],
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Resolved>, ReadError> {
    let files = listed_in(bytes)?;
    if files.is_empty() {
        return Err(ReadError::Invalid(EMPTY));
    }
    let mut folders: FxHashMap<&str, Names> = FxHashMap::default();
    for path in paths {
        let mut start = 0;
        while start <= path.len() {
            let end = path[start..].find('/').map_or(path.len(), |at| start + at);
            let folder = path[..start].trim_end_matches('/');
            folders
                .entry(folder)
                .or_default()
                .add(path[start..end].to_owned());
            start = end + 1;
        }
    }
    let mut seen = HashSet::new();
    let resolved = files
        .into_iter()
        .map(|listed| match resolve_in(&folders, &listed) {
            Ok(path) => (path, Ok(())),
            Err(reason) => (shown(&listed), Err(reason)),
        });
    Ok(resolved.filter(|(path, _)| seen.insert(path.clone())).collect())
}

fn resolve_in(folders: &FxHashMap<&str, Names>, listed: &[String]) -> Result<String, ReadError> {
    let mut path = String::new();
    for (number, part) in listed.iter().enumerate() {
        let names = folders.get(path.as_str()).ok_or(ReadError::Invalid(MISSING))?;
        let name = names.resolve(part, number + 1 == listed.len())?;
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
    }
    Ok(path)
}

/// How a listed file is named that is not there.
fn shown(listed: &[String]) -> String {
    listed.join("/").replace('.', "_")
}

/// What is in a folder, by names as they are compared.
#[derive(Default)]
struct Names {
    exact: HashSet<String>,
    loose: FxHashMap<String, Vec<String>>,
}

impl Listed {
    /// The files of the DICOMDIR at `path`, whose folder is the source with this number.
    pub fn read(path: &Path, source: u32) -> Result<Self, ReadError> {
        let files = listed_files(path)?;
        if files.is_empty() {
            return Err(ReadError::Invalid(EMPTY));
        }
        Ok(Self {
            root: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            source,
            files: files.into_iter(),
            folders: FxHashMap::default(),
            seen: HashSet::new(),
        })
    }

    /// Looks for some files; `false` when there is none left. `to` has the files and is given to `found` with each.
    pub fn step<T: AsMut<Files>>(&mut self, to: &mut T, found: &mut dyn FnMut(&mut T, Found<'_>)) -> bool {
        for _ in 0..AT_A_TIME {
            let Some(listed) = self.files.next() else {
                return false;
            };
            let (path, result) = match self.find(&listed) {
                Ok((path, stamp)) => (path, Ok(stamp)),
                Err(reason) => (shown(&listed), Err(reason)),
            };
            if !self.seen.insert(path.clone()) {
                continue;
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let folder = to.as_mut().folder(self.source, folder);
            let thing = match result {
                Ok(stamp) => Found::File { folder, name, stamp },
                Err(reason) => Found::Problem {
                    folder,
                    name,
                    refusal: Refusal::Failed(reason),
                },
            };
            found(to, thing);
        }
        true
    }

    /// Path of a listed file relative to the source, and its stamp.
    fn find(&mut self, listed: &[String]) -> Result<(String, Stamp), ReadError> {
        let mut path = self.root.clone();
        let mut relative = String::new();
        for (number, part) in listed.iter().enumerate() {
            let is_last = number + 1 == listed.len();
            let name = self.names_in(&path).resolve(part, is_last)?.to_owned();
            path.push(&name);
            if !relative.is_empty() {
                relative.push('/');
            }
            relative.push_str(&name);
        }
        let unusable = |error| ReadError::io("file cannot be examined", &error);
        let meta = fs::metadata(&path).map_err(unusable)?;
        if !meta.is_file() {
            return Err(ReadError::Invalid("not a regular file"));
        }
        Ok((relative, stamp(&meta)))
    }

    fn names_in(&mut self, folder: &Path) -> &Names {
        self.folders.entry(folder.to_path_buf()).or_insert_with(|| {
            let mut names = Names::default();
            // A folder that cannot be listed holds nothing that could be read.
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if let Ok(name) = entry.file_name().into_string() {
                    names.add(name);
                }
            }
            names
        })
    }
}

impl Names {
    /// Takes in a name, of a file or of a folder; the same one may come again.
    fn add(&mut self, name: String) {
        if self.exact.insert(name.clone()) {
            self.loose.entry(loose(&name, true)).or_default().push(name);
        }
    }

    /// The name that is meant. One that is there as it is listed comes first, then one that differs in case or version
    /// only, then one that has an ending too.
    fn resolve<'a>(&'a self, listed: &'a str, is_file: bool) -> Result<&'a str, ReadError> {
        if self.exact.contains(listed) {
            return Ok(listed);
        }
        let alike = self.loose.get(&loose(listed, true));
        let alike = alike.map(Vec::as_slice).unwrap_or_default();
        let wanted = loose(listed, false);
        let close: Vec<&String> = alike.iter().filter(|name| loose(name, false) == wanted).collect();
        match (close.as_slice(), alike) {
            ([name], _) => Ok(name),
            ([], [name]) if is_file => Ok(name),
            ([], []) => Err(ReadError::Invalid(MISSING)),
            ([], _) if !is_file => Err(ReadError::Invalid(MISSING)),
            _ => Err(ReadError::Invalid(SEVERAL)),
        }
    }
}

/// A name without its version, in one case; without its ending, too.
fn loose(name: &str, without_ending: bool) -> String {
    let name = if without_ending {
        stem(name)
    } else {
        unversioned(name)
    };
    name.to_ascii_lowercase()
}

fn unversioned(name: &str) -> &str {
    let name = match name.rsplit_once(';') {
        Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn stem(name: &str) -> &str {
    let name = unversioned(name);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_others() {
        for name in [
            "DICOMDIR",
            "dicomdir",
            "DICOMDIR.;1",
            "dicomdir.dcm",
            "DICOMDIR;1",
        ] {
            assert!(is_dicomdir(name), "{name}");
        }
        for name in ["DICOMDIR2", "xDICOMDIR", "1.dcm", ""] {
            assert!(!is_dicomdir(name), "{name}");
        }
    }

    fn names(all: &[&str]) -> Names {
        let mut names = Names::default();
        for name in all {
            names.add((*name).into());
        }
        names
    }

    #[test]
    fn files_are_found_under_changed_names() {
        for (there, listed) in [
            ("IMG001", "IMG001"),
            ("img001", "IMG001"),
            ("img001.dcm", "IMG001"),
            ("IMG001.;1", "IMG001"),
            ("IMG001.DCM;1", "IMG001"),
            ("img001", "IMG001.DCM"),
        ] {
            assert_eq!(names(&[there, "IMG002"]).resolve(listed, true), Ok(there));
        }
        assert_eq!(names(&["IMG001", "img001"]).resolve("IMG001", true), Ok("IMG001"));
        assert_eq!(
            names(&["img001", "img001.jpg"]).resolve("IMG001", true),
            Ok("img001")
        );
    }

    #[test]
    fn what_is_not_there_or_in_doubt_is_not_guessed() {
        let missing = Err(ReadError::Invalid(MISSING));
        assert_eq!(names(&["IMG0010"]).resolve("IMG001", true), missing);
        assert_eq!(names(&["DIR.X"]).resolve("DIR", false), missing);
        let several = Err(ReadError::Invalid(SEVERAL));
        assert_eq!(
            names(&["img001.dcm", "img001.jpg"]).resolve("IMG001", true),
            several
        );
        assert_eq!(names(&["Img001", "img001"]).resolve("IMG001", true), several);
    }
}
