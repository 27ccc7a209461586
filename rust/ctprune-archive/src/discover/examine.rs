//! Sizes and times of the files of a folder, many at a time where the file system is slow to answer.

use std::fs::{self, Metadata};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Files by which the file system is judged.
const FIRST: usize = 16;

/// What a disk of this machine takes for one is far below.
const SLOW: Duration = Duration::from_micros(300);

/// Questions to a slow file system at a time.
const AT_A_TIME: usize = 32;

/// What the file system says of each path, links followed.
pub(super) fn examine(paths: &[PathBuf]) -> Vec<io::Result<Metadata>> {
    let start = Instant::now();
    let (first, rest) = paths.split_at(paths.len().min(FIRST));
    let mut found: Vec<_> = first.iter().map(fs::metadata).collect();
    if start.elapsed() < SLOW * FIRST as u32 {
        found.extend(rest.iter().map(fs::metadata));
    } else {
        found.extend(examine_together(rest));
    }
    found
}

fn examine_together(paths: &[PathBuf]) -> Vec<io::Result<Metadata>> {
    let share = paths.len().div_ceil(AT_A_TIME).max(1);
    std::thread::scope(|scope| {
        let ask = |some: &[PathBuf]| some.iter().map(fs::metadata).collect::<Vec<_>>();
        let asked: Vec<_> = paths
            .chunks(share)
            .map(|some| {
                (
                    some,
                    std::thread::Builder::new().spawn_scoped(scope, move || ask(some)),
                )
            })
            .collect();
        asked
            .into_iter()
            .flat_map(|(some, thread)| match thread.map(|thread| thread.join()) {
                Ok(Ok(found)) => found,
                // The system gives no more threads.
                _ => ask(some),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_paths() {
        let root = std::env::temp_dir().join(format!("ctprune-examine-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let path = |number: usize| root.join(number.to_string());
        (0..100).for_each(|number| fs::write(path(number), vec![0; number]).unwrap());
        let paths: Vec<PathBuf> = (0..101).map(path).collect();
        for count in [0, 1, 31, 32, 33, 100, 101] {
            for found in [examine(&paths[..count]), examine_together(&paths[..count])] {
                let sizes: Vec<_> = found
                    .into_iter()
                    .map(|found| found.ok().map(|meta| meta.len()))
                    .collect();
                let expected: Vec<_> = (0..count as u64)
                    .map(|size| (size < 100).then_some(size))
                    .collect();
                assert_eq!(sizes, expected);
            }
        }
        fs::remove_dir_all(root).unwrap();
    }
}
