//! Read chosen slices again, for what needs their pixels: volumes as arrays, pictures.

use ctprune_core::intensity::{Intensity, to_grey};
use ctprune_core::pixels::{Scale, SlicePixels, Stored};
use ctprune_dicom::png_writer::{write_png8, write_png16};
use ctprune_dicom::read::{Buffers, read_file};
use ctprune_dicom::slice::{Event, ReadOptions, Refusal};
use rayon::prelude::*;
use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What 16-bit pictures add to a Hounsfield unit, so that the air around the patient is not below 0.
pub const PNG_HU_OFFSET: f64 = ctprune_core::square::HU_OFFSET;

/// One slice to read and what to do with it.
pub struct Job<T> {
    /// File that holds the slice.
    pub path: PathBuf,
    /// Its frame.
    pub frame: u32,
    /// Where it goes.
    pub target: T,
}

/// Why a chosen slice was not dealt with.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The slice: not there any more, not readable, or not fit for what was asked.
    Slice(String),
    /// The result, which could not be written.
    Output(String),
}

thread_local! {
    /// Kept from call to call: to get as much memory from the system again costs as much as to fill it.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Do something with each chosen slice, files in parallel and each read once; for each job `None`, or why it
/// failed.
fn for_each_slice<T: Send>(
    jobs: Vec<Job<T>>,
    options: &ReadOptions,
    act: impl Fn(SlicePixels<'_>, T) -> Result<(), Failure> + Sync,
) -> Vec<Option<Failure>> {
    for_each_slice_until(&AtomicBool::new(false), jobs, options, act)
}

/// [`for_each_slice`] that begins no further file once `stop` is set.
pub(crate) fn for_each_slice_until<T: Send>(
    stop: &AtomicBool,
    jobs: Vec<Job<T>>,
    options: &ReadOptions,
    act: impl Fn(SlicePixels<'_>, T) -> Result<(), Failure> + Sync,
) -> Vec<Option<Failure>> {
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
    let done: Vec<Vec<(usize, Option<Failure>)>> = files
        .into_par_iter()
        .map(|file| {
            let (numbers, jobs): (Vec<usize>, Vec<Job<T>>) = file.into_iter().unzip();
            if stop.load(Ordering::Relaxed) {
                let stopped = || Some(Failure::Slice("stopped".into()));
                return numbers.into_iter().map(|number| (number, stopped())).collect();
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
    act: &impl Fn(SlicePixels<'_>, T) -> Result<(), Failure>,
) -> Vec<Option<Failure>> {
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
        Event::Refused {
            refusal: Refusal::Skipped(reason) | Refusal::Unsupported(reason) | Refusal::Failed(reason),
            ..
        } => {
            refused = Some(reason);
        }
    });
    let missing = refused.unwrap_or_else(|| "the slice is not in the file any more".into());
    results.resize(count, Some(Failure::Slice(missing)));
    results
}

/// Read slices as Hounsfield units (grey values for 8-bit pictures) into `out`, one after the other.
pub fn read_hu(
    slices: Vec<(PathBuf, u32)>,
    pixels_per_slice: usize,
    options: &ReadOptions,
    out: &mut [f32],
) -> Vec<Option<Failure>> {
    let jobs = slices
        .into_iter()
        .zip(out.chunks_exact_mut(pixels_per_slice))
        .map(|((path, frame), target)| Job { path, frame, target })
        .collect();
    for_each_slice(jobs, options, |pixels, target: &mut [f32]| {
        if pixels.stored.len() != target.len() {
            return Err(Failure::Slice("the size of the slice has changed".into()));
        }
        convert_hu(&pixels, target, |hu| hu as f32);
        Ok(())
    })
}

/// Write slices as grey PNG: 8 bits as they were fingerprinted, or 16 bits of HU + [`PNG_HU_OFFSET`].
pub fn write_pngs(
    jobs: Vec<Job<PathBuf>>,
    sixteen_bits: bool,
    intensity: Intensity,
    options: &ReadOptions,
) -> Vec<Option<Failure>> {
    for_each_slice(jobs, options, |pixels, target| {
        if sixteen_bits {
            if pixels.scale == Scale::Grey8 {
                let reason = "an 8-bit picture has no Hounsfield units: use --png-depth 8";
                return Err(Failure::Slice(reason.into()));
            }
            let mut values = vec![0u16; pixels.stored.len()];
            // `as` clamps to 0..=65535.
            convert_hu(&pixels, &mut values, |hu| {
                (hu + PNG_HU_OFFSET).round_ties_even() as u16
            });
            return create(&target, |file| {
                write_png16(file, pixels.rows, pixels.columns, &values)
            });
        }
        let mut buffer = Vec::new();
        let grey = to_grey(&pixels, intensity, &mut buffer).map_err(|e| Failure::Slice(e.to_string()))?;
        create(&target, |file| {
            write_png8(file, pixels.rows, pixels.columns, grey.pixels)
        })
    })
}

/// Never overwrites.
fn create<E: std::fmt::Display>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<std::fs::File>) -> Result<(), E>,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Output(format!("{}: cannot be written: {error}", path.display()))
    };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| failed(&error))?;
    let mut file = BufWriter::new(file);
    write(&mut file).map_err(|error| failed(&error))?;
    file.flush().map_err(|error| failed(&error))
}

/// Hounsfield unit of each pixel, converted, into `out` of the same length.
fn convert_hu<T>(pixels: &SlicePixels<'_>, out: &mut [T], convert: impl Fn(f64) -> T) {
    let (slope, intercept) = match pixels.scale {
        Scale::Hounsfield { slope, intercept } => (slope, intercept),
        Scale::Grey8 => (1.0, 0.0),
    };
    macro_rules! each {
        ($values:expr) => {
            for (out, &value) in out.iter_mut().zip($values) {
                *out = convert(value as f64 * slope + intercept);
            }
        };
    }
    match pixels.stored {
        Stored::U8(values) => each!(values),
        Stored::I8(values) => each!(values),
        Stored::U16(values) => each!(values),
        Stored::I16(values) => each!(values),
        Stored::U32(values) => each!(values),
        Stored::I32(values) => each!(values),
        Stored::F32(values) => each!(values),
        Stored::F64(values) => each!(values),
    }
}
