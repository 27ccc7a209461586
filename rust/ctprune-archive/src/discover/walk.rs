//! Find every file below the sources, in an order that depends on names alone.

use crate::discover::examine::examine;
use crate::discover::files::{Files, Stamp};
use crate::discover::shard::Shard;
use ctprune_dicom::code::Code;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::slice::Refusal;
use rustc_hash::FxHashSet;
use std::collections::VecDeque;
use std::fs::{self, DirEntry, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// One thing that the walk came across.
pub enum Found<'a> {
    /// A regular file.
    File {
        /// Number of its folder in [`Files`].
        folder: u32,
        /// Its name.
        name: &'a str,
        /// Size and time.
        stamp: Stamp,
    },
    /// A folder, link or special file that is not read, with the reason.
    Problem {
        /// Number of its folder in [`Files`].
        folder: u32,
        /// Its name.
        name: &'a str,
        /// Why it is not read.
        refusal: Refusal,
    },
}

struct Pending {
    path: PathBuf,
    source: u32,
    relative: String,
}

/// What tells a folder from every other, whatever path leads to it.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = PathBuf;

fn identity(path: &Path) -> std::io::Result<Identity> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
    }
    #[cfg(not(unix))]
    fs::canonicalize(path)
}

/// Walks folders depth first, a few at a time, so that the caller can draw progress and stop.
///
/// `walkdir` cannot take its place: it lists a folder again for every link to it (only loops end), follows links where
/// they stand, and opens no folder that is only linked to after all others.
///
/// Each folder is listed once, whatever links lead to it. Links are followed after all folders: one that is both in
/// the sources and linked to is listed where it is.
#[derive(Default)]
pub struct Walker {
    stack: Vec<Pending>,
    links: VecDeque<Pending>,
    listed: FxHashSet<Identity>,
    shard: Option<Shard>,
}

impl Walker {
    /// Do not look at files of others: they are reported without size and time.
    pub fn set_shard(&mut self, shard: Shard) {
        self.shard = Some(shard);
    }

    /// Walk this folder too; `root` is absolute.
    pub fn add(&mut self, files: &mut Files, root: &Path) {
        let pending = Pending {
            path: root.to_path_buf(),
            source: files.source(root.to_path_buf()),
            relative: String::new(),
        };
        // The stack is taken from its end: the first source must come out first.
        self.stack.insert(0, pending);
    }

    /// List one folder; `false` when there is none left. `to` has the files and is given to `found` with each thing.
    pub fn step<T: AsMut<Files>>(&mut self, to: &mut T, found: &mut dyn FnMut(&mut T, Found<'_>)) -> bool {
        if self.stack.is_empty() {
            // In the order in which they were found: what they hold is walked before the next one.
            self.stack.extend(self.links.pop_front());
        }
        let Some(here) = self.stack.pop() else {
            return false;
        };
        let folder = to.as_mut().folder(here.source, &here.relative);
        match identity(&here.path).map(|identity| self.listed.insert(identity)) {
            Ok(true) => {}
            Ok(false) => {
                found(to, Found::linked(folder));
                return true;
            }
            Err(error) => {
                found(
                    to,
                    Found::failed(folder, "", ReadError::io("folder cannot be listed", &error)),
                );
                return true;
            }
        }
        let entries = match fs::read_dir(&here.path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => {
                found(
                    to,
                    Found::failed(folder, "", ReadError::io("folder cannot be listed", &error)),
                );
                return true;
            }
        };
        let mut names: Vec<_> = entries.iter().map(|entry| (entry.file_name(), entry)).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let mut to_examine = Vec::new();
        let is_to_examine: Vec<bool> = names
            .iter()
            .map(|(name, entry)| {
                let is_mine = name
                    .to_str()
                    .is_some_and(|name| !self.is_of_others(to.as_mut(), folder, name, entry));
                if is_mine {
                    to_examine.push(entry.path());
                }
                is_mine
            })
            .collect();
        let mut examined = to_examine.iter().zip(examine(&to_examine));
        let mut below = Vec::new();
        for ((name, entry), is_mine) in names.iter().zip(is_to_examine) {
            let Some(text) = name.to_str() else {
                let reason = ReadError::other(Code::Name, "file name is not valid Unicode: rename the file");
                found(to, Found::failed(folder, &name.to_string_lossy(), reason));
                continue;
            };
            let (path, answer) = match is_mine.then(|| examined.next()).flatten() {
                Some(of_mine) => of_mine,
                None => {
                    found(to, Found::file(folder, text, Stamp::default()));
                    continue;
                }
            };
            match answer {
                Ok(meta) if meta.is_file() => found(to, Found::file(folder, text, stamp(&meta))),
                Ok(meta) if meta.is_dir() => {
                    let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                    let pending = here.enter(path.clone(), text);
                    if linked {
                        self.links.push_back(pending);
                    } else {
                        below.push(pending);
                    }
                }
                Ok(_) => {
                    let reason = ReadError::other(Code::NotRegular, "not a regular file");
                    found(to, Found::failed(folder, text, reason));
                }
                Err(error) => {
                    let reason = ReadError::io("file cannot be examined", &error);
                    found(to, Found::failed(folder, text, reason));
                }
            }
        }
        self.stack.extend(below.into_iter().rev());
        true
    }

    /// Whether this is a file, as the folder says without a look at it, that others read.
    fn is_of_others(&self, files: &Files, folder: u32, name: &str, entry: &DirEntry) -> bool {
        self.shard
            .is_some_and(|shard| !shard.holds(&files.address(folder, name)))
            && entry.file_type().is_ok_and(|kind| kind.is_file())
    }
}

impl<'a> Found<'a> {
    fn file(folder: u32, name: &'a str, stamp: Stamp) -> Self {
        Found::File { folder, name, stamp }
    }

    fn failed(folder: u32, name: &'a str, reason: ReadError) -> Self {
        let refusal = Refusal::Failed(reason);
        Found::Problem {
            folder,
            name,
            refusal,
        }
    }

    fn linked(folder: u32) -> Self {
        let refusal = Refusal::skipped(Code::Linked, "link to a folder that is read elsewhere");
        Found::Problem {
            folder,
            name: "",
            refusal,
        }
    }
}

impl Pending {
    fn enter(&self, path: PathBuf, name: &str) -> Pending {
        let relative = if self.relative.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.relative)
        };
        Pending {
            path,
            source: self.source,
            relative,
        }
    }
}

/// Size, and time of last change as the version.
pub fn stamp(meta: &Metadata) -> Stamp {
    let version = match meta.modified().map(|time| time.duration_since(UNIX_EPOCH)) {
        Ok(Ok(after)) => after.as_nanos() as i64,
        Ok(Err(before)) => -(before.duration().as_nanos() as i64),
        Err(_) => 0,
    };
    Stamp {
        size: meta.len(),
        version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(root: &Path) -> (Vec<String>, Vec<String>) {
        let (mut files, mut walker) = (Files::default(), Walker::default());
        walker.add(&mut files, root);
        let (mut paths, mut problems) = (Vec::new(), Vec::new());
        while walker.step(&mut files, &mut |files: &mut Files, found| match found {
            Found::File { folder, name, stamp } => {
                let id = files.push(folder, name, stamp);
                paths.push(files.relative(id));
            }
            Found::Problem {
                folder,
                name,
                refusal,
            } => {
                let id = files.push(folder, name, Stamp::default());
                problems.push(format!(
                    "{}: {} {refusal}",
                    files.relative(id),
                    refusal.code().name()
                ));
            }
        }) {}
        (paths, problems)
    }

    fn fresh_folder(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("ctprune-walk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("b/c")).unwrap();
        for path in ["z", "a", "b/2", "b/c/1"] {
            fs::write(root.join(path), "x").unwrap();
        }
        root
    }

    #[test]
    fn files_come_in_the_order_of_their_names() {
        let root = fresh_folder("order");
        assert_eq!(walk(&root).0, ["a", "z", "b/2", "b/c/1"]);
        fs::remove_dir_all(root).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_each_folder_is_listed_once() {
        use std::os::unix::fs::symlink;
        let (root, outside) = (fresh_folder("links"), fresh_folder("linked-to"));
        symlink(&root, root.join("b/up")).unwrap();
        symlink(root.join("b/c"), root.join("a-link-to-c")).unwrap();
        symlink(outside.join("b"), root.join("b/out")).unwrap();
        symlink(outside.join("b/c"), root.join("b/out-again")).unwrap();
        symlink(root.join("a"), root.join("linked")).unwrap();
        symlink(root.join("nothing"), root.join("broken")).unwrap();
        let (paths, problems) = walk(&root);
        let expected = [
            "a",
            "linked",
            "z",
            "b/2",
            "b/c/1", // What is there
            "b/out/2",
            "b/out/c/1", // and what is linked to
        ];
        assert_eq!(paths, expected);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].starts_with("broken: E-VANISHED "), "{problems:?}");
        assert!(problems[0].contains(" file cannot be examined: "), "{problems:?}");
        let again = "S-LINKED link to a folder that is read elsewhere";
        assert_eq!(problems[1], format!("a-link-to-c/: {again}"));
        assert_eq!(problems[2], format!("b/out-again/: {again}"));
        assert_eq!(problems[3], format!("b/up/: {again}"));
        fs::remove_dir_all(root).unwrap();
        fs::remove_dir_all(outside).unwrap();
    }

    /// Ten folders, each with links to all others: every simple path through them would be some ten million folders.
    #[cfg(unix)]
    #[test]
    fn folders_that_link_to_each_other_are_listed_once() {
        use std::os::unix::fs::symlink;
        let root = fresh_folder("farm");
        let folder = |n| root.join(format!("farm-{n}"));
        (0..10).for_each(|n| fs::create_dir(folder(n)).unwrap());
        for (from, to) in (0..10).flat_map(|from| (0..10).map(move |to| (from, to))) {
            symlink(folder(to), folder(from).join(format!("to-{to}"))).unwrap();
        }
        let (paths, problems) = walk(&root);
        assert_eq!((paths.len(), problems.len()), (4, 100));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_problem_not_a_crash() {
        let (paths, problems) = walk(Path::new("/nonexistent-ctprune"));
        assert!(paths.is_empty());
        assert_eq!(problems.len(), 1);
    }
}
