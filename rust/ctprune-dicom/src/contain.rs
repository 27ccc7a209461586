//! Panics while reading become errors of the one frame or file that caused them, without a word on stderr.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::ReadError;

thread_local! {
    /// How many calls of [`contained`] are under way on this thread.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Message of the last panic that was contained.
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Calls `work`; a panic in it becomes an error.
///
/// State that `work` changes must be fit for use after a panic: a codec's output buffers, which are written anew
/// for every frame, or buffers that the caller throws away then.
pub fn contained<T, E: From<ReadError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    static HOOK: Once = Once::new();
    HOOK.call_once(silence_contained_panics);
    DEPTH.set(DEPTH.get() + 1);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.unwrap_or_else(|_| Err(ReadError::Panicked(MESSAGE.take()).into()))
}

/// Puts a hook before the present one that keeps the message of contained panics and passes on all others.
fn silence_contained_panics() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // A thread that is being torn down has no thread-local left; it is not inside `contained` then.
        if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
            return previous(info);
        }
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        // One line: the text becomes part of a reason.
        let line = text
            .and_then(|text| text.lines().next())
            .unwrap_or("no reason given");
        let _ = MESSAGE.try_with(|message| line.clone_into(&mut message.borrow_mut()));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    #[test]
    fn a_panic_becomes_an_error() {
        let result: Result<(), ReadError> = contained(|| panic!("index 3 of {}", 2));
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "the decoder failed: index 3 of 2");
        assert_eq!(error.code(), Code::Decoder);
        assert_eq!(contained(|| Ok::<_, ReadError>(5)), Ok(5));
        assert_eq!(DEPTH.get(), 0);
    }
}
