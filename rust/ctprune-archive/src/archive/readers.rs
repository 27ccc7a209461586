//! More readers than cores where files are slow to open: one that waits costs nothing.

use crate::error::ArchiveError;
use ctprune_dicom::error::without_number;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::time::{Duration, Instant};

/// Readers that a slow source gets by itself, at most.
const MOST: usize = 64;

/// What is measured for less says little.
const LONG_ENOUGH: Duration = Duration::from_millis(100);

/// Threads that read files of this machine. They begin as many as there are cores; while these mostly wait, their
/// number doubles.
pub(super) struct Readers {
    /// `None` while the archive's own threads read.
    pool: Option<ThreadPool>,
    threads: usize,
    cores: usize,
    /// Their number was given.
    is_fixed: bool,
    wall: Duration,
    busy: Duration,
}

impl Readers {
    /// So many readers; 0 lets their number follow the source. `cores` threads decode.
    pub fn new(count: usize, cores: usize) -> Result<Self, ArchiveError> {
        let mut readers = Self {
            pool: None,
            threads: cores,
            cores,
            is_fixed: count > 0,
            wall: Duration::ZERO,
            busy: Duration::ZERO,
        };
        if count > 0 && count != cores {
            readers.resize(count)?;
        }
        Ok(readers)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads
    }

    /// Do this on their threads; `usual` has one for each core.
    pub fn install<T: Send>(
        &mut self,
        usual: &ThreadPool,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, ArchiveError> {
        let before = (Instant::now(), processor_time());
        let done = self.pool.as_ref().unwrap_or(usual).install(work);
        if let (start, Some(earlier)) = before
            && let Some(now) = processor_time()
        {
            self.note(start.elapsed(), now.saturating_sub(earlier))?;
        }
        Ok(done)
    }

    /// So long it took, and so long cores were busy.
    fn note(&mut self, wall: Duration, busy: Duration) -> Result<(), ArchiveError> {
        self.wall += wall;
        self.busy += busy;
        if self.is_fixed || self.wall < LONG_ENOUGH {
            return Ok(());
        }
        let mostly_waits = self.busy * 2 < self.wall * self.cores as u32;
        (self.wall, self.busy) = (Duration::ZERO, Duration::ZERO);
        if mostly_waits && self.threads < MOST {
            self.resize((2 * self.threads).min(MOST))?;
        }
        Ok(())
    }

    fn resize(&mut self, threads: usize) -> Result<(), ArchiveError> {
        (self.pool, self.threads) = (Some(pool(threads)?), threads);
        Ok(())
    }
}

/// So many threads; 0 means one per core.
pub(super) fn pool(threads: usize) -> Result<ThreadPool, ArchiveError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| ArchiveError::Threads {
            threads,
            found: without_number(&error.to_string()),
        })
}

/// How long cores were busy with this process; `None` where the system does not say.
fn processor_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended_with(count: usize, cores: usize, wall: u64, busy: u64) -> usize {
        let mut readers = Readers::new(count, cores).unwrap();
        for _ in 0..10 {
            let (wall, busy) = (Duration::from_millis(wall), Duration::from_millis(busy));
            readers.note(wall, busy).unwrap();
        }
        readers.count()
    }

    #[test]
    fn they_double_while_cores_wait() {
        assert_eq!(ended_with(0, 2, 100, 90), 64);
        assert_eq!(ended_with(0, 2, 50, 10), 64);
        assert_eq!(ended_with(0, 3, 10, 1), 6);
    }

    #[test]
    fn they_stay_where_cores_are_busy() {
        assert_eq!(ended_with(0, 2, 100, 110), 2);
        assert_eq!(ended_with(0, 1, 100, 50), 1);
    }

    #[test]
    fn a_number_that_was_given_stays() {
        assert_eq!(ended_with(7, 2, 100, 1), 7);
        assert_eq!(ended_with(2, 2, 100, 1), 2);
    }

    #[test]
    fn work_is_done_on_their_threads() {
        let usual = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let mut readers = Readers::new(5, 2).unwrap();
        assert_eq!(readers.install(&usual, rayon::current_num_threads).unwrap(), 5);
        let mut readers = Readers::new(0, 2).unwrap();
        assert_eq!(readers.install(&usual, rayon::current_num_threads).unwrap(), 2);
    }
}
