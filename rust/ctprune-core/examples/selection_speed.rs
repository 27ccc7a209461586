//! Times the selection over a whole data set, after checking its answer.
//!
//! `cargo run --release -p ctprune-core --example selection_speed -- [walks|uniform] [ROWS] [THRESHOLD] [WORDS] [THREADS]`
//!
//! The fingerprints are made, not read: `walks` are volumes of 250 to 600 slices, each from a random
//! start on, that flip 0 to 3 bits per 64 a slice, which keeps about 18 % at threshold 6 as CT does; `uniform`
//! are unrelated ones, of which nearly all are kept.

use ctprune_core::selection::hamming::{dataset_exemplars, naive, volume_exemplars};
use ctprune_core::selection::{SelectError, Selection};
use ctprune_core::similarity::hamming::Fingerprints;
use std::ops::ControlFlow;
use std::time::Instant;

/// Rows of the instance on which the answer is checked.
const CHECKED: usize = 30_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let kind = args.first().map_or("walks", String::as_str);
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |arg| arg.parse::<usize>());
    let (rows, threshold, words) = (number(1, 1_000_000)?, number(2, 6)? as u32, number(3, 1)?);
    if let Some(threads) = args.get(4) {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.parse()?)
            .build_global()?;
    }
    let (data, starts) = match kind {
        "walks" => walks(rows, words, 1),
        "uniform" => uniform(rows, words, 1),
        other => return Err(format!("unknown kind {other:?}: walks or uniform").into()),
    };
    let checked = CHECKED.min(rows);
    let first = Fingerprints::new(words, &data[..checked * words])?;
    assert_eq!(
        dataset(first, threshold)?,
        naive::dataset_exemplars(first, threshold)?,
        "wrong answer"
    );

    let all = Fingerprints::new(words, &data)?;
    let threads = rayon::current_num_threads();
    println!(
        "{rows} {kind}, {} bits, threshold {threshold}, {threads} threads",
        all.bits()
    );
    for _ in 0..5 {
        timed("data set", || dataset(all, threshold))?;
    }
    timed("volumes", || volume_exemplars(all, &starts, threshold))?;
    if let Some(peak) = peak_memory() {
        println!("  peak memory {peak}");
    }
    Ok(())
}

/// Runs a selection and prints what it took, in time and in time of all processors together.
fn timed(what: &str, select: impl Fn() -> Result<Selection, SelectError>) -> Result<(), SelectError> {
    let (start, cpu) = (Instant::now(), processor_seconds());
    let selection = select()?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = processor_seconds().zip(cpu).map_or(String::new(), |(now, then)| {
        format!("{:.2} s of processors, ", now - then)
    });
    let kept = 100.0 * selection.kept() as f64 / selection.len().max(1) as f64;
    println!("  {what:8} {seconds:8.3} s, {cpu}{kept:.1} % kept");
    Ok(())
}

fn dataset(all: Fingerprints<'_>, threshold: u32) -> Result<Selection, SelectError> {
    dataset_exemplars(all, threshold, &mut |_| ControlFlow::Continue(()))
}

/// Volumes as random walks, and their offsets.
fn walks(rows: usize, words: usize, seed: u64) -> (Vec<u64>, Vec<usize>) {
    let mut random = SplitMix(seed);
    let mut data = Vec::with_capacity(rows * words);
    let mut starts = vec![0];
    while data.len() < rows * words {
        let mut slice: Vec<u64> = (0..words).map(|_| random.next()).collect();
        let len = 250 + random.below(351) as usize;
        for _ in 0..len.min(rows - data.len() / words) {
            data.extend_from_slice(&slice);
            for word in &mut slice {
                for _ in 0..random.below(4) {
                    *word ^= 1 << random.below(64);
                }
            }
        }
        starts.push(data.len() / words);
    }
    (data, starts)
}

/// Unrelated fingerprints, in volumes of 400.
fn uniform(rows: usize, words: usize, seed: u64) -> (Vec<u64>, Vec<usize>) {
    let mut random = SplitMix(seed);
    let data = (0..rows * words).map(|_| random.next()).collect();
    (data, (0..rows).step_by(400).chain([rows]).collect())
}

struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Time of all processors that this process took so far, where the system tells it, in steps of 10 ms.
#[cfg(target_os = "linux")]
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit(')').next()?;
    let mut fields = after_name.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

#[cfg(not(target_os = "linux"))]
fn processor_seconds() -> Option<f64> {
    None
}

/// The most memory this process had so far, where the system tells it.
#[cfg(target_os = "linux")]
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .map(|peak| peak.trim().to_owned())
}

#[cfg(not(target_os = "linux"))]
fn peak_memory() -> Option<String> {
    None
}
