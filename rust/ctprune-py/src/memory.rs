//! Where the system gives no more memory, one sentence ends the process, as for any other reason.
//!
//! Rust would abort with a message of its own and leave a core file, which holds pixels of patients. What was read up
//! to some seconds ago is saved in parts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;

/// The system's allocator, but for its failure.
pub struct SystemOrSentence;

const SENTENCE: &[u8] = b"Error: not enough memory: take fewer threads, or allow more; rerun to resume\n";

// SAFETY: all is left to the system's allocator; what it gives is passed on unless it is nothing.
unsafe impl GlobalAlloc for SystemOrSentence {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        given(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        given(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        given(unsafe { System.realloc(old, layout, size) })
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(old, layout) }
    }
}

#[inline]
fn given(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        give_up();
    }
    memory
}

#[cold]
fn give_up() -> ! {
    let _ = std::io::stderr().write_all(SENTENCE);
    // What Python registered to be called at the end needs memory, too.
    #[cfg(unix)]
    // SAFETY: ends the process at once.
    unsafe {
        libc::_exit(1)
    }
    #[cfg(not(unix))]
    std::process::abort()
}
