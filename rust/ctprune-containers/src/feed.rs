//! Bytes that come one portion after the other, from a server: one thread gives them, another takes them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that wait to be taken, or one portion.
const MOST: usize = 32 << 20;

/// A queue of bytes with room for some.
#[derive(Debug, Default)]
pub struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    portions: VecDeque<Vec<u8>>,
    waiting: usize,
    /// Bytes taken, of the first portion and of all.
    taken_of_first: usize,
    taken: u64,
    has_ended: bool,
    failure: Option<String>,
    is_closed: bool,
}

impl Feed {
    /// Gives the next bytes; waits for room. `false` when nobody takes them.
    pub fn push(&self, portion: Vec<u8>) -> bool {
        let is_full =
            |state: &mut State| !state.is_closed && state.waiting > 0 && state.waiting + portion.len() > MOST;
        let waited = self.changed.wait_while(self.state(), is_full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.is_closed && !portion.is_empty() {
            state.waiting += portion.len();
            state.portions.push_back(portion);
            self.changed.notify_all();
        }
        !state.is_closed
    }

    /// All bytes were given.
    pub fn end(&self) {
        self.state().has_ended = true;
        self.changed.notify_all();
    }

    /// There will be no more, for this reason.
    pub fn fail(&self, reason: String) {
        self.state().failure.get_or_insert(reason);
        self.changed.notify_all();
    }

    /// Nobody takes bytes from now on.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.portions.clear();
        self.changed.notify_all();
    }

    /// Whether nobody takes bytes.
    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Some bytes, none at the end. They can be taken once, so `offset` must be the number of those taken.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let is_awaited = |state: &mut State| {
            state.portions.is_empty() && !state.has_ended && state.failure.is_none() && !state.is_closed
        };
        let waited = self.changed.wait_while(self.state(), is_awaited);
        let mut guard = waited.unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if offset != state.taken {
            return Err(io::Error::new(
                io::ErrorKind::NotSeekable,
                "a stream cannot be read twice",
            ));
        }
        let Some(first) = state.portions.front() else {
            return match &state.failure {
                Some(reason) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason.clone())),
                None => Ok(0),
            };
        };
        let rest = &first[state.taken_of_first..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        state.taken += read as u64;
        if read == rest.len() {
            state.waiting -= first.len();
            state.taken_of_first = 0;
            state.portions.pop_front();
            self.changed.notify_all();
        } else {
            state.taken_of_first += read;
        }
        Ok(read)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn bytes_come_in_order_and_memory_is_bounded() {
        let feed = Arc::new(Feed::default());
        let giver = Arc::clone(&feed);
        let thread = std::thread::spawn(move || {
            for portion in 0..20u8 {
                assert!(giver.push(vec![portion; MOST / 4]));
                assert!(giver.state().waiting <= MOST);
            }
            giver.end();
        });
        let (mut buffer, mut offset) = (vec![0; MOST / 8], 0);
        loop {
            let read = feed.read_at(&mut buffer, offset).unwrap();
            if read == 0 {
                break;
            }
            let portion = (offset / (MOST as u64 / 4)) as u8;
            assert!(buffer[..read].iter().all(|&byte| byte == portion));
            offset += read as u64;
        }
        thread.join().unwrap();
        assert_eq!(offset, 5 * MOST as u64);
        assert!(feed.read_at(&mut buffer, 0).is_err());
    }

    #[test]
    fn failures_come_behind_the_bytes_and_a_closed_feed_holds_nobody_up() {
        let feed = Feed::default();
        assert!(feed.push(vec![1, 2]));
        feed.fail("gone".into());
        let mut buffer = [0; 8];
        assert_eq!(feed.read_at(&mut buffer, 0).unwrap(), 2);
        assert_eq!(feed.read_at(&mut buffer, 2).unwrap_err().to_string(), "gone");
        let feed = Arc::new(Feed::default());
        assert!(feed.push(vec![0; MOST]));
        let giver = Arc::clone(&feed);
        let thread = std::thread::spawn(move || giver.push(vec![0; 1]));
        feed.close();
        assert!(!thread.join().unwrap());
        assert!(feed.is_closed() && !feed.push(vec![0]));
    }
}
