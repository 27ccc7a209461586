//! Read chosen slices again and do something with the pixels of each.

use super::PixelError;
use ctprune_core::pixels::SlicePixels;
use ctprune_core::watch::Watch;
use ctprune_dicom::read::{Buffers, read_file};
use ctprune_dicom::slice::{Event, ReadOptions};
use rayon::prelude::*;
use std::cell::RefCell;
use std::path::PathBuf;

/// One slice to read and what to do with it.
pub struct Job<T> {
    /// File that holds the slice.
    pub path: PathBuf,
    /// Its frame.
    pub frame: u32,
    /// Where it goes.
    pub target: T,
}

thread_local! {
    /// Kept from call to call: to get as much memory from the system again costs as much as to fill it.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Do something with each chosen slice, files in parallel and each read once; for each job `None`, or why it failed.
///
/// No further file is begun once `watch` is stopped.
pub fn visit_slices<T: Send>(
    watch: &Watch,
    jobs: Vec<Job<T>>,
    options: &ReadOptions,
    act: impl Fn(SlicePixels<'_>, T) -> Result<(), PixelError> + Sync,
) -> Vec<Option<PixelError>> {
    let mut results = vec![None; jobs.len()];
    let mut numbered: Vec<(usize, Job<T>)> = jobs.into_iter().enumerate().collect();
    // Readers report frames in order; slices of a volume may run the other way.
    numbered.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path).then(a.frame.cmp(&b.frame)));
    let mut files: Vec<Vec<(usize, Job<T>)>> = Vec::new();
    for job in numbered {
        match files.last_mut() {
            Some(file) if file[0].1.path == job.1.path => file.push(job),
            _ => files.push(vec![job]),
        }
    }
    let done: Vec<Vec<(usize, Option<PixelError>)>> = files
        .into_par_iter()
        .map(|file| {
            let (numbers, jobs): (Vec<usize>, Vec<Job<T>>) = file.into_iter().unzip();
            if watch.is_stopped() {
                let stopped = |number| (number, Some(PixelError::Stopped));
                return numbers.into_iter().map(stopped).collect();
            }
            // Taken out for as long as it is used: `act` may be interrupted by another file of this thread.
            let mut buffers = BUFFERS.take();
            let results = slices_of_file(jobs, options, &mut buffers, &act);
            BUFFERS.set(buffers);
            numbers.into_iter().zip(results).collect()
        })
        .collect();
    for (number, result) in done.into_iter().flatten() {
        results[number] = result;
    }
    results
}

/// Jobs of one file, in the order of their frames.
fn slices_of_file<T>(
    jobs: Vec<Job<T>>,
    options: &ReadOptions,
    buffers: &mut Buffers,
    act: &impl Fn(SlicePixels<'_>, T) -> Result<(), PixelError>,
) -> Vec<Option<PixelError>> {
    let path = jobs[0].path.clone();
    let mut results = Vec::with_capacity(jobs.len());
    let count = jobs.len();
    let mut jobs = jobs.into_iter().peekable();
    let mut refused = None;
    read_file(&path, options, buffers, &mut |event| match event {
        Event::Slice { info, pixels } => {
            if let Some(job) = jobs.next_if(|job| job.frame == info.frame) {
                results.push(act(pixels, job.target).err());
            }
        }
        Event::Refused { refusal, .. } => refused = Some(refusal),
    });
    let missing = refused.map_or(PixelError::Gone, PixelError::Refused);
    results.resize(count, Some(missing));
    results
}
