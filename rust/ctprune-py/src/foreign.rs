//! Slices that only another reader (pydicom) can decode, while Rust works on those that it reads itself.

use crate::images::Images;
use crate::interrupt::interruptible;
use ctprune_archive::methods::gray_slices::{Decode, GrayResult, GraySlice};
use ctprune_archive::pixels::PixelError;
use ctprune_core::intensity::Intensity;
use ctprune_core::selection::SelectError;
use ctprune_core::watch::Watch;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long to wait for an answer before looking whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Pixels, slope and intercept.
type Decoded<'py> = (Bound<'py, PyAny>, f64, f64);

/// Runs `work` on a thread of its own while this one, Python's main thread, answers signals, calls `progress` with the
/// number of slices decided on once there are any, and lets `decode` read what the work asks for.
///
/// `decode(path, frames)` gives pixels, slope and intercept of frames of a file; fewer when it cannot go on.
pub fn decoding<T: Send>(
    py: Python<'_>,
    intensity: Intensity,
    watch: &Watch,
    decode: &Bound<'_, PyAny>,
    progress: &Bound<'_, PyAny>,
    work: impl FnOnce(&Decode<'_>) -> T + Send,
) -> PyResult<T> {
    let (ask, asked) = mpsc::channel::<(PathBuf, Vec<u32>)>();
    let (answer, answered) = mpsc::channel::<Vec<GrayResult>>();
    let ends = Mutex::new((ask, answered));
    let here = std::thread::current();
    // pydicom's process is waited for on the main thread: there Ctrl-C ends it.
    let reader = |path: &Path, frames: &[u32]| {
        let ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
        let request = (path.to_path_buf(), frames.to_vec());
        ends.0.send(request).map_err(|_| SelectError::Stopped)?;
        here.unpark();
        loop {
            match ends.1.recv_timeout(LOOK) {
                Ok(slices) => return Ok(slices),
                Err(RecvTimeoutError::Timeout) if !watch.is_stopped() => {}
                Err(_) => return Err(SelectError::Stopped),
            }
        }
    };
    let show = || {
        let done = watch.done();
        if done > 0 {
            progress.call1((done,))?;
        }
        PyResult::Ok(())
    };
    let meanwhile = |_| {
        show()?;
        while let Ok((path, frames)) = asked.try_recv() {
            let slices: Vec<Decoded<'_>> = decode.call1((path, frames))?.extract()?;
            let gray = |(pixels, slope, intercept): &Decoded<'_>| -> PyResult<GrayResult> {
                let image = Images::borrow(pixels)?;
                let pixels = image.slice(*slope, *intercept)?;
                Ok(GraySlice::new(&pixels, intensity).map_err(PixelError::from))
            };
            let slices = slices.iter().map(gray).collect::<PyResult<_>>()?;
            // Nobody waits once the work has ended.
            let _ = answer.send(slices);
        }
        Ok(())
    };
    let done = interruptible(py, watch, meanwhile, || work(&reader))?;
    show()?;
    Ok(done)
}
