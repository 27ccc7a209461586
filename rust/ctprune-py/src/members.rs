//! `container_of` and `visit_bytes`: members of containers, for readers that are not in Rust.

use crate::interrupt::interruptible;
use crate::settings::{read_options, value_error};
use ctprune_archive::discover::location::Location;
use ctprune_archive::open::{self, Opened};
use ctprune_archive::open_many::visit_locations;
use ctprune_containers::open::Container;
use ctprune_core::watch::Watch;
use ctprune_dicom::error::ReadError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rayon::ThreadPoolBuilder;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::sync::mpsc::{self, TrySendError};
use std::time::Duration;

/// Files whose bytes wait to be taken.
const WAITING: usize = 2;

/// Between two tries to hand over.
const PAUSE: Duration = Duration::from_millis(1);

/// The file of the container that an address leads into; None for an address of a file.
#[pyfunction]
pub fn container_of(address: PathBuf) -> Option<PathBuf> {
    match Location::parse(address) {
        Location::Member { container, .. } => Some(container),
        Location::File(_) | Location::Remote(_) => None,
    }
}

/// Whether a file is a DICOMDIR by its name.
#[pyfunction]
pub fn is_dicomdir(name: &str) -> bool {
    ctprune_archive::discover::dicomdir::is_dicomdir(name)
}

/// The names of each file that a DICOMDIR refers to, from its folder downwards.
#[pyfunction]
pub fn dicomdir_files(content: &[u8]) -> PyResult<Vec<Vec<String>>> {
    ctprune_dicom::dicom::listed_in(content).map_err(|error| value_error(error.to_string()))
}

/// Whether an address leads into a container that is read from its start, so that many are better read together.
#[pyfunction]
pub fn is_packed(py: Python<'_>, address: PathBuf) -> bool {
    py.detach(|| open::is_packed(&Location::parse(address)))
}

/// What kind of container a file is, in words; None when it is none, or broken.
#[pyfunction]
pub fn kind_of_container(py: Python<'_>, path: PathBuf) -> Option<&'static str> {
    let opened = py.detach(|| Container::open(&path));
    opened.ok().map(|container| container.kind().name())
}

/// Call `take(index, bytes)` for the file at each address, and `take(index, reason)` where it cannot be read.
///
/// A container that can only be read from its start is read once, so files do not come in their order. KeyboardInterrupt
/// stops it, and so does an exception of `take`.
#[pyfunction]
pub fn visit_bytes(
    py: Python<'_>,
    addresses: Vec<PathBuf>,
    max_slice_mb: u64,
    take: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let locations = addresses.into_iter().map(Location::parse).zip(0..).collect();
    let options = read_options("any", max_slice_mb);
    // One after the other: each is in memory whole.
    let pool = ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(value_error)?;
    let (send, receive) = mpsc::sync_channel::<(usize, Result<Vec<u8>, String>)>(WAITING);
    let (watch, here) = (Watch::default(), std::thread::current());
    let act = |_: &Location, index: usize, opened: Opened<'_>| {
        let limit = options.max_slice_bytes;
        let found = bytes_of(opened, limit).map_err(|error| error.to_string());
        let mut message = (index, found);
        while let Err(TrySendError::Full(back)) = send.try_send(message) {
            // Who waits for the work to stop takes nothing.
            if watch.is_stopped() {
                return;
            }
            message = back;
            here.unpark();
            std::thread::sleep(PAUSE);
        }
        here.unpark();
    };
    let hand_over = || -> PyResult<()> {
        while let Ok((index, found)) = receive.try_recv() {
            match found {
                Ok(bytes) => take.call1((index, PyBytes::new(py, &bytes)))?,
                Err(reason) => take.call1((index, reason))?,
            };
        }
        Ok(())
    };
    let work = || {
        pool.install(|| visit_locations(locations, &options, None, &|| watch.is_stopped(), act));
    };
    interruptible(py, &watch, |_| hand_over(), work)?;
    hand_over()
}

fn bytes_of(opened: Opened<'_>, limit: u64) -> Result<Vec<u8>, ReadError> {
    let unreadable = |error| ReadError::io("the file cannot be read", &error);
    match opened {
        Opened::File(mut file, _) => {
            file.rewind().map_err(unreadable)?;
            read_all(file, limit).map_err(unreadable)?
        }
        Opened::Part(part) => read_all(part.reader(), limit).map_err(unreadable)?,
        Opened::Bytes(bytes) => Ok(bytes.to_vec()),
        Opened::Refused(refusal) => Err(ReadError::other(refusal.code(), refusal.to_string())),
    }
}

fn read_all(reader: impl Read, limit: u64) -> std::io::Result<Result<Vec<u8>, ReadError>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > limit {
        Err(ReadError::TooLarge {
            what: "the bytes of the file".into(),
            limit,
        })
    } else {
        Ok(bytes)
    })
}
