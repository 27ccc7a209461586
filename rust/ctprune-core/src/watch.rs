//! Work that another thread watches and may stop.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How far work has come, and whether to stop it.
#[derive(Debug, Default)]
pub struct Watch {
    stopped: AtomicBool,
    done: AtomicUsize,
}

impl Watch {
    /// Asks the work to stop: nothing further is begun.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Slices done so far.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Notes that `slices` more are done.
    pub fn advance(&self, slices: usize) {
        self.done.fetch_add(slices, Ordering::Relaxed);
    }

    /// Notes that `done` slices are done by now, and says whether to go on: for work that reports on one thread.
    pub fn report(&self, done: usize) -> ControlFlow<()> {
        self.done.store(done, Ordering::Relaxed);
        if self.is_stopped() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
