//! One pass over a container that can only be read from its start: a thread unpacks it while others decode.

use super::feed::Feed;
use super::index::Member;
use super::open::Container;
use super::stream;
use super::tar::{DAMAGED, Entries, Entry};
use super::{Kind, corrupt, read};
use ctprune_dicom::contain::contained;
use ctprune_dicom::error::ReadError;
use ctprune_dicom::read::{HEAD_BYTES, identify};
use ctprune_dicom::slice::{ReadOptions, Refusal};
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of members that are in memory at a time, or one member.
const BUDGET: u64 = 128 << 20;

/// As much of that is handed over together, so that unpacking continues meanwhile.
const TOGETHER: u64 = BUDGET / 2;

/// Members that wait without bytes, such as links.
const WAITING: usize = 1024;

/// What is to be done with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Read it, whatever it is.
    Read,
    /// Read it if it may hold slices, or other files.
    ReadSlices,
    /// Report it without its content.
    Leave,
}

/// A member that the pass has come to.
#[derive(Debug)]
pub struct Item {
    /// Its name in an address.
    pub name: String,
    /// Size of its content.
    pub size: u64,
    /// The content, or why there is none.
    pub content: ItemContent,
}

/// What came of a member.
#[derive(Debug)]
pub enum ItemContent {
    /// All of it.
    Bytes(Held),
    /// It was not wanted.
    Left,
    /// It cannot be read, or holds no slice.
    Refused(Refusal),
}

/// Bytes within the budget of a pass, until they are dropped.
#[derive(Debug)]
pub struct Held {
    bytes: Vec<u8>,
    taken: u64,
    budget: Arc<Budget>,
}

impl Held {
    /// The bytes, which count no more.
    pub fn take(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}

/// Items that come together.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the container's order.
    pub items: Vec<Item>,
    /// Whether the pass has ended, and with what fault of the container.
    pub end: Option<Option<Fault>>,
}

enum Message {
    Item(Item),
    End(Option<Fault>),
}

/// What is wrong with a container.
#[derive(Clone, Debug)]
pub struct Fault {
    /// In words.
    pub error: ReadError,
    /// Whether nothing that came from it can be trusted.
    pub is_damage: bool,
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        let is_damage = false;
        Fault { error, is_damage }
    }
}

/// A pass in progress. Dropping it stops the thread.
pub struct Pass {
    /// Within a lock so that an archive can be shared; `None` after the end.
    messages: Option<Mutex<Receiver<Message>>>,
    position: Arc<AtomicU64>,
    budget: Arc<Budget>,
    /// What the thread may be waiting for.
    feed: Option<Arc<Feed>>,
    thread: Option<JoinHandle<()>>,
}

impl Pass {
    /// Begins a pass over a container that is read from its start. `wanted` is asked once for each member, in order,
    /// by its name and size.
    pub fn start(
        container: Arc<Container>,
        options: ReadOptions,
        wanted: impl FnMut(&str, u64) -> Want + Send + 'static,
    ) -> Self {
        let (to, messages) = mpsc::sync_channel(WAITING);
        let (position, budget) = (Arc::new(AtomicU64::new(0)), Arc::new(Budget::default()));
        let producer = Producer {
            position: Arc::clone(&position),
            budget: Arc::clone(&budget),
            options,
            to,
        };
        let feed = container.raw().bytes.feed().cloned();
        let thread = std::thread::spawn(move || producer.run(&container, wanted));
        Self {
            messages: Some(Mutex::new(messages)),
            position,
            budget,
            feed,
            thread: Some(thread),
        }
    }

    /// Bytes of the container that were read.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// The next items, at most some; none when none came in time.
    pub fn next_batch(&mut self, time: Duration, most: usize) -> Batch {
        let mut batch = Batch::default();
        let Some(messages) = &mut self.messages else {
            batch.end = Some(None);
            return batch;
        };
        let messages = messages.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        while batch.items.len() < most && bytes < TOGETHER {
            // What is there is decoded while more comes: nobody waits for a full batch.
            let left = if batch.items.is_empty() {
                time
            } else {
                Duration::ZERO
            };
            match messages.recv_timeout(left) {
                Ok(Message::Item(item)) => {
                    if let ItemContent::Bytes(held) = &item.content {
                        bytes += held.taken;
                    }
                    batch.items.push(item);
                }
                Ok(Message::End(broken)) => {
                    batch.end = Some(broken);
                    break;
                }
                Err(RecvTimeoutError::Timeout) => break,
                // The thread always says how it ends.
                Err(RecvTimeoutError::Disconnected) => {
                    let error = ReadError::Invalid("the archive could not be read to its end");
                    batch.end = Some(Some(error.into()));
                    break;
                }
            }
        }
        if batch.end.is_some() {
            self.messages = None;
        }
        batch
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.budget.close();
        if let Some(feed) = &self.feed {
            feed.close();
        }
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Bytes that are in memory.
#[derive(Debug, Default)]
struct Budget {
    state: Mutex<BudgetState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BudgetState {
    taken: u64,
    closed: bool,
}

impl Budget {
    /// Waits until so many bytes fit in, or nothing else is in memory; `false` when nobody wants them.
    fn take(&self, bytes: u64) -> bool {
        let full = |state: &mut BudgetState| {
            !state.closed && state.taken > 0 && state.taken.saturating_add(bytes) > BUDGET
        };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(state, full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.taken += bytes;
        !state.closed
    }

    fn give_back(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken -= bytes;
        self.changed.notify_all();
    }

    fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        self.changed.notify_all();
    }
}

struct Producer {
    position: Arc<AtomicU64>,
    budget: Arc<Budget>,
    options: ReadOptions,
    to: SyncSender<Message>,
}

/// Nobody listens now.
struct Unheard;

/// What ends a pass before its time.
enum Stop {
    Broken(ReadError),
    Damaged,
    Unheard,
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Stop::Broken(error)
    }
}

impl From<Unheard> for Stop {
    fn from(_: Unheard) -> Self {
        Stop::Unheard
    }
}

impl Producer {
    fn run(&self, container: &Container, mut wanted: impl FnMut(&str, u64) -> Want) {
        // A decoder that panics ends this container only.
        let end = contained(|| self.read(container, &mut wanted));
        let end = match end {
            Ok(()) => None,
            Err(Stop::Broken(error)) => Some(Fault::from(error)),
            Err(Stop::Damaged) => Some(Fault {
                error: corrupt(container.kind(), DAMAGED),
                is_damage: true,
            }),
            Err(Stop::Unheard) => return,
        };
        // Where nobody listens, nobody is told.
        let _ = self.to.send(Message::End(end));
    }

    fn read(&self, container: &Container, wanted: &mut impl FnMut(&str, u64) -> Want) -> Result<(), Stop> {
        let kind = container.kind();
        let source = stream::open(container.raw(), kind, &self.position);
        let mut entries = Entries::new(kind, source);
        let read = self.read_entries(&mut entries, wanted);
        match read {
            Err(Stop::Unheard) => read,
            _ if kind != Kind::Tar && entries.is_damaged() => Err(Stop::Damaged),
            _ => read,
        }
    }

    fn read_entries(
        &self,
        entries: &mut Entries<Box<dyn std::io::Read + Send>>,
        wanted: &mut impl FnMut(&str, u64) -> Want,
    ) -> Result<(), Stop> {
        while let Some(Entry { member, content }) = entries.next()? {
            let Member { name, size, extent } = member;
            let content = match extent {
                Err(refusal) => Ok(ItemContent::Refused(refusal)),
                Ok(_) => match wanted(&name, size) {
                    Want::Leave => Ok(ItemContent::Left),
                    want => self.content(entries, &name, content, want),
                },
            };
            let (content, fault) = match content {
                Ok(content) => (content, None),
                Err(Stop::Broken(error)) => (ItemContent::Refused(error.clone().into()), Some(error)),
                Err(other) => return Err(other),
            };
            let item = Item { name, size, content };
            self.to.send(Message::Item(item)).map_err(|_| Unheard)?;
            if let Some(fault) = fault {
                return Err(fault.into());
            }
        }
        Ok(())
    }

    /// The content of a member, if it is such as is wanted.
    fn content(
        &self,
        entries: &mut Entries<Box<dyn std::io::Read + Send>>,
        name: &str,
        size: u64,
        want: Want,
    ) -> Result<ItemContent, Stop> {
        let mut bytes = Vec::new();
        entries.read(size.min(HEAD_BYTES as u64), &mut bytes)?;
        if want == Want::ReadSlices
            && Kind::of(&bytes).is_none()
            && let Err(refusal) = identify(Path::new(name), &bytes)
        {
            return Ok(ItemContent::Refused(refusal));
        }
        if let Err(error) = read::check_size(size, &self.options) {
            return Ok(ItemContent::Refused(error.into()));
        }
        if !self.budget.take(size) {
            return Err(Stop::Unheard);
        }
        let mut held = Held {
            bytes,
            taken: size,
            budget: Arc::clone(&self.budget),
        };
        let rest = size - held.bytes.len() as u64;
        held.bytes.reserve_exact(rest as usize);
        entries.read(rest, &mut held.bytes)?;
        Ok(ItemContent::Bytes(held))
    }
}
