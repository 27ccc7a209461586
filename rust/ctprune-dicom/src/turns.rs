//! Large slices take turns: however many threads read, one at a time holds a large one. Without it, memory would grow
//! with the number of cores times the limit of a slice, and a folder of hostile files could use all of that.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::slice::ReadOptions;

/// Slices up to this many bytes are read without waiting: CT has half a megabyte.
pub const LARGE: u64 = 64 << 20;

static TURN: Mutex<()> = Mutex::new(());

thread_local! {
    static HELD: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Waits for this thread's turn where so many bytes are large; it lasts until [`end`].
pub fn wait_for(bytes: u64, options: &ReadOptions) {
    if options.take_turns && bytes > LARGE {
        // A panic elsewhere has left nothing behind that could be wrong.
        HELD.with_borrow_mut(|held| {
            held.get_or_insert_with(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
        });
    }
}

/// Ends this thread's turn, if it has one.
pub fn end() {
    HELD.take();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_thread_at_a_time_has_a_large_slice() {
        let options = ReadOptions {
            take_turns: true,
            ..ReadOptions::default()
        };
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    wait_for(LARGE + 1, &options);
                    wait_for(LARGE + 1, &options);
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                    end();
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        wait_for(LARGE, &options);
        assert!(TURN.try_lock().is_ok());
    }
}
