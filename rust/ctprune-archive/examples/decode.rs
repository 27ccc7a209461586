//! Read every file of some folders and do nothing with the pixels, for benchmarks of the readers:
//! `cargo run --release -p ctprune-archive --example decode -- THREADS FOLDER…`; prints the number of slices.

use ctprune_dicom::read::{Buffers, read_file};
use ctprune_dicom::slice::{Event, ReadOptions};
use rayon::prelude::*;
use std::cell::RefCell;
use std::path::PathBuf;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments
        .next()
        .ok_or("usage: decode THREADS FOLDER...")?
        .parse()?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in arguments {
        for entry in std::fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
    }
    let options = ReadOptions::default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let slices: usize = pool.install(|| {
        paths
            .par_iter()
            .map(|path| {
                let mut slices = 0;
                // One per thread: `map_init` would make one for each part that a thread takes over.
                BUFFERS.with_borrow_mut(|buffers| {
                    read_file(path, &options, buffers, &mut |event| match event {
                        Event::Slice { pixels, .. } => slices += usize::from(!pixels.stored.is_empty()),
                        Event::Header { .. } | Event::Refused { .. } => (),
                    });
                });
                slices
            })
            .sum()
    });
    println!("{slices}");
    Ok(())
}
