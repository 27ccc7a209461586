//! Work that KeyboardInterrupt stops.

use ctprune_core::watch::Watch;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Thread};
use std::time::Duration;

/// Runs work on a thread of its own while this one, Python's main thread, answers signals.
///
/// `progress` is called now and then with the number of slices done. When it raises, or a signal handler does, the watch
/// is stopped, and the exception is raised once the work has ended. MemoryError: the system gives no thread.
pub fn interruptible<T: Send>(
    py: Python<'_>,
    watch: &Watch,
    mut progress: impl FnMut(usize) -> PyResult<()>,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    let done = AtomicBool::new(false);
    let here = std::thread::current();
    std::thread::scope(|scope| {
        let thread = Builder::new()
            .spawn_scoped(scope, || {
                let _report = Report {
                    done: &done,
                    to: &here,
                };
                work()
            })
            .map_err(|_| PyMemoryError::new_err("no memory for another thread"))?;
        let mut answer = Ok(());
        while !done.load(Ordering::Acquire) && answer.is_ok() {
            py.detach(|| std::thread::park_timeout(Duration::from_millis(50)));
            answer = py.check_signals().and_then(|()| progress(watch.done()));
        }
        if answer.is_err() {
            watch.stop();
        }
        let result = py.detach(|| thread.join());
        answer?;
        Ok(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Says when it is dropped, by a panic too, that the work is done, and wakes the thread that waits for it.
///
/// Whether a thread has finished would not do: where both share a core, the one that waits wakes before the other has
/// ended, and waits on.
struct Report<'a> {
    done: &'a AtomicBool,
    to: &'a Thread,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        self.to.unpark();
    }
}
