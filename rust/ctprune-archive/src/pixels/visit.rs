//! Read chosen slices again and do something with the pixels of each.

use super::PixelError;
use crate::discover::location::Location;
use crate::open::{Fetch, Opened, read_opened};
use crate::open_many::visit_locations;
use ctprune_core::pixels::SlicePixels;
use ctprune_core::watch::Watch;
use ctprune_dicom::read::Buffers;
use ctprune_dicom::slice::{Event, ReadOptions};
use std::cell::RefCell;

/// One slice to read and what to do with it.
pub struct Job<T> {
    /// Where the file is that holds the slice.
    pub location: Location,
    /// Its frame.
    pub frame: u32,
    /// Where it goes.
    pub target: T,
}

/// Jobs with their indices.
type Numbered<T> = Vec<(usize, Job<T>)>;

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
    fetch: Option<&dyn Fetch>,
    act: impl Fn(SlicePixels<'_>, T) -> Result<(), PixelError> + Sync,
) -> Vec<Option<PixelError>> {
    let mut results = vec![None; jobs.len()];
    let mut numbered: Vec<(usize, Job<T>)> = jobs.into_iter().enumerate().collect();
    // Readers report frames in order; slices of a volume may run the other way.
    numbered.sort_by(|(_, a), (_, b)| a.location.cmp(&b.location).then(a.frame.cmp(&b.frame)));
    let mut files: Vec<Vec<(usize, Job<T>)>> = Vec::new();
    for job in numbered {
        match files.last_mut() {
            Some(file) if file[0].1.location == job.1.location => file.push(job),
            _ => files.push(vec![job]),
        }
    }
    let files: Vec<(Location, Numbered<T>)> = files
        .into_iter()
        .map(|file| (file[0].1.location.clone(), file))
        .collect();
    let numbers: Vec<Vec<usize>> = files
        .iter()
        .map(|(_, file)| file.iter().map(|(number, _)| *number).collect())
        .collect();
    let visit = |location: &Location, file: Vec<(usize, Job<T>)>, opened: Opened<'_>| {
        // Taken out for as long as it is used: `act` may be interrupted by another file of this thread.
        let mut buffers = BUFFERS.take();
        let jobs = file.into_iter().map(|(_, job)| job).collect();
        let results = slices_of_file(location, opened, jobs, options, &mut buffers, &act);
        BUFFERS.set(buffers);
        results
    };
    let done = visit_locations(files, options, fetch, &|| watch.is_stopped(), visit);
    for (numbers, of_file) in numbers.into_iter().zip(done) {
        let of_file = of_file.unwrap_or_else(|| vec![Some(PixelError::Stopped); numbers.len()]);
        for (number, result) in numbers.into_iter().zip(of_file) {
            results[number] = result;
        }
    }
    results
}

/// Jobs of one file, in the order of their frames.
fn slices_of_file<T>(
    location: &Location,
    opened: Opened<'_>,
    jobs: Vec<Job<T>>,
    options: &ReadOptions,
    buffers: &mut Buffers,
    act: &impl Fn(SlicePixels<'_>, T) -> Result<(), PixelError>,
) -> Vec<Option<PixelError>> {
    let mut results = Vec::with_capacity(jobs.len());
    let count = jobs.len();
    let mut jobs = jobs.into_iter().peekable();
    let mut refused = None;
    read_opened(location, opened, options, buffers, &mut |event| match event {
        Event::Slice { info, pixels } => {
            // A slice may be wanted several times.
            while let Some(job) = jobs.next_if(|job| job.frame == info.frame) {
                results.push(act(pixels, job.target).err());
            }
        }
        Event::Header { .. } => (),
        Event::Refused { refusal, .. } => refused = Some(refusal),
    });
    let missing = refused.map_or(PixelError::Gone, PixelError::Refused);
    results.resize(count, Some(missing));
    results
}
