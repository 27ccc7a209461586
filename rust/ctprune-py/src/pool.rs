//! The one thread pool of the process, which all work runs in.

use crate::settings::value_error;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

/// A pool, what it was asked for, and the process that its threads belong to.
struct Kept {
    threads: usize,
    process: u32,
    pool: Arc<ThreadPool>,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// The pool of this many threads, 0 for one per core.
///
/// It is kept as long as the same number is asked for: its threads have buffers that cost as much to get from the system
/// again as to fill. A process that was forked off has none of its parent's threads, so it gets a pool of its own.
pub fn pool(threads: usize) -> PyResult<Arc<ThreadPool>> {
    let threads = if threads == 0 { default_threads() } else { threads };
    let process = std::process::id();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    match kept.take() {
        Some(same) if same.threads == threads && same.process == process => {
            return Ok(Arc::clone(&kept.insert(same).pool));
        }
        // To end it would wait for threads that are not there.
        Some(of_parent) if of_parent.process != process => std::mem::forget(of_parent),
        _ => {}
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("ctprune-{index}"))
        .build()
        .map_err(|error| value_error(format!("threads {threads}: cannot be started: {error}")))?;
    let pool = Arc::new(pool);
    *kept = Some(Kept {
        threads,
        process,
        pool: Arc::clone(&pool),
    });
    Ok(pool)
}

/// Runs work in the pool of this many threads, without the GIL.
pub fn run<T: Send>(py: Python<'_>, threads: usize, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let pool = pool(threads)?;
    Ok(py.detach(|| pool.install(work)))
}

/// One thread per core, or what `RAYON_NUM_THREADS` says.
fn default_threads() -> usize {
    let wanted = std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|text| text.parse().ok());
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    wanted.filter(|&threads| threads > 0).unwrap_or_else(cores)
}
