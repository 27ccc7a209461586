//! Find every file below the sources, in an order that depends on names alone.

use crate::files::{Files, Stamp};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// A folder, link or special file that cannot be read, with the reason.
    Problem {
        /// Number of its folder in [`Files`].
        folder: u32,
        /// Its name.
        name: &'a str,
        /// Why it is not read.
        reason: String,
    },
}

/// Real paths of the folders that were entered through links on the way to a folder.
struct Entered {
    real: PathBuf,
    before: Option<Arc<Entered>>,
}

impl Entered {
    /// Whether following a link to `target` would come back to a folder above.
    fn loops(&self, target: &Path) -> bool {
        self.real.starts_with(target) || self.before.as_ref().is_some_and(|b| b.loops(target))
    }
}

struct Pending {
    path: PathBuf,
    source: u32,
    relative: String,
    entered: Arc<Entered>,
}

/// Walks folders depth first, a few at a time, so that the caller can draw progress and stop.
#[derive(Default)]
pub struct Walker {
    stack: Vec<Pending>,
}

impl Walker {
    /// Walk this folder too; `root` is absolute.
    pub fn add(&mut self, files: &mut Files, root: &Path) {
        let real = fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
        let pending = Pending {
            path: root.to_path_buf(),
            source: files.source(root.to_path_buf()),
            relative: String::new(),
            entered: Arc::new(Entered { real, before: None }),
        };
        // The stack is taken from its end: the first source must come out first.
        self.stack.insert(0, pending);
    }

    /// List one folder; `false` when there is none left.
    pub fn step(&mut self, files: &mut Files, found: &mut dyn FnMut(&mut Files, Found<'_>)) -> bool {
        let Some(here) = self.stack.pop() else {
            return false;
        };
        let folder = files.folder(here.source, &here.relative);
        let entries = match fs::read_dir(&here.path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => {
                found(
                    files,
                    Found::Problem {
                        folder,
                        name: "",
                        reason: format!("folder cannot be listed: {error}"),
                    },
                );
                return true;
            }
        };
        let mut names: Vec<_> = entries.iter().map(|entry| (entry.file_name(), entry)).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let mut below = Vec::new();
        for (name, entry) in names {
            let Some(text) = name.to_str() else {
                let reason = "file name is not valid Unicode: rename the file".to_owned();
                found(
                    files,
                    Found::Problem {
                        folder,
                        name: &name.to_string_lossy(),
                        reason,
                    },
                );
                continue;
            };
            let path = entry.path();
            let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            match fs::metadata(&path) {
                Ok(meta) if meta.is_file() => {
                    found(
                        files,
                        Found::File {
                            folder,
                            name: text,
                            stamp: stamp(&meta),
                        },
                    );
                }
                Ok(meta) if meta.is_dir() => match here.enter(path, text, link) {
                    Ok(pending) => below.push(pending),
                    Err(reason) => found(
                        files,
                        Found::Problem {
                            folder,
                            name: text,
                            reason,
                        },
                    ),
                },
                Ok(_) => {
                    let reason = "not a regular file".to_owned();
                    found(
                        files,
                        Found::Problem {
                            folder,
                            name: text,
                            reason,
                        },
                    );
                }
                Err(error) => {
                    let reason = format!("file cannot be examined: {error}");
                    found(
                        files,
                        Found::Problem {
                            folder,
                            name: text,
                            reason,
                        },
                    );
                }
            }
        }
        self.stack.extend(below.into_iter().rev());
        true
    }
}

impl Pending {
    fn enter(&self, path: PathBuf, name: &str, link: bool) -> Result<Pending, String> {
        let relative = if self.relative.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.relative)
        };
        let entered = if link {
            let real =
                fs::canonicalize(&path).map_err(|error| format!("link cannot be followed: {error}"))?;
            let here = Entered {
                real: fs::canonicalize(&self.path).unwrap_or_default(),
                before: None,
            };
            if here.loops(&real) || self.entered.loops(&real) {
                return Err("link to a folder above it".to_owned());
            }
            Arc::new(Entered {
                real,
                before: Some(self.entered.clone()),
            })
        } else {
            self.entered.clone()
        };
        Ok(Pending {
            path,
            source: self.source,
            relative,
            entered,
        })
    }
}

/// Size and time of last change.
pub fn stamp(meta: &Metadata) -> Stamp {
    let mtime_ns = match meta.modified().map(|time| time.duration_since(UNIX_EPOCH)) {
        Ok(Ok(after)) => after.as_nanos() as i64,
        Ok(Err(before)) => -(before.duration().as_nanos() as i64),
        Err(_) => 0,
    };
    Stamp {
        size: meta.len(),
        mtime_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(root: &Path) -> (Vec<String>, Vec<String>) {
        let (mut files, mut walker) = (Files::default(), Walker::default());
        walker.add(&mut files, root);
        let (mut paths, mut problems) = (Vec::new(), Vec::new());
        while walker.step(&mut files, &mut |files, found| match found {
            Found::File { folder, name, stamp } => {
                let id = files.push(folder, name, stamp);
                paths.push(files.relative(id));
            }
            Found::Problem { name, reason, .. } => problems.push(format!("{name}: {reason}")),
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
    fn links_are_followed_but_never_in_a_circle() {
        use std::os::unix::fs::symlink;
        let root = fresh_folder("links");
        symlink(&root, root.join("b/up")).unwrap();
        symlink(root.join("a"), root.join("linked")).unwrap();
        symlink(root.join("nothing"), root.join("broken")).unwrap();
        let (paths, problems) = walk(&root);
        assert_eq!(paths, ["a", "linked", "z", "b/2", "b/c/1"]);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("broken: file cannot be examined"));
        assert_eq!(problems[1], "up: link to a folder above it");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_problem_not_a_crash() {
        let (paths, problems) = walk(Path::new("/nonexistent-ctprune"));
        assert!(paths.is_empty());
        assert_eq!(problems.len(), 1);
    }
}
