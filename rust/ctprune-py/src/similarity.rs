//! `ssim`, `mutual_information` and `PixelSweep`.

use crate::archive::interruptible_while;
use crate::fingerprint::{array, array_of_rows};
use crate::images::Images;
use crate::settings::{settings, value_error};
use ctprune_archive::pixel_sweep::{self as core, GreySlice, PixelMeasure, Source};
use ctprune_archive::reader::Settings;
use ctprune_core::similarity::leader::Watch;
use ctprune_core::similarity::mi::MutualInformation;
use ctprune_core::similarity::ssim::{Ssim, Window};
use ctprune_core::similarity::{Measure, Picture};
use numpy::{PyArray1, PyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Slices whose maps are held at a time when all are compared with all.
const HELD: usize = 32;

/// Slices, of those held, that one thread compares with as many others together.
const TILE: usize = 8;

/// SSIM of slices, uint8 of shape (n, rows, cols): row by row as (n, 1), or all to all as (n, m).
#[pyfunction]
pub fn ssim<'py>(
    py: Python<'py>,
    a: PyReadonlyArray3<'py, u8>,
    b: PyReadonlyArray3<'py, u8>,
    window: &str,
    matrix: bool,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    similarities(
        py,
        &Ssim::new(Window::parse(window).map_err(value_error)?),
        &a,
        &b,
        matrix,
    )
}

/// Normalised mutual information of slices, as `ssim`.
#[pyfunction]
pub fn mutual_information<'py>(
    py: Python<'py>,
    a: PyReadonlyArray3<'py, u8>,
    b: PyReadonlyArray3<'py, u8>,
    matrix: bool,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    similarities(py, &MutualInformation, &a, &b, matrix)
}

fn similarities<'py, M: Measure>(
    py: Python<'py>,
    measure: &M,
    a: &PyReadonlyArray3<'py, u8>,
    b: &PyReadonlyArray3<'py, u8>,
    matrix: bool,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (first, second) = (Stack::new(a)?, Stack::new(b)?);
    let columns = if matrix { second.len() } else { 1 };
    let mut out = vec![0.0; first.len() * columns];
    py.detach(|| {
        if matrix {
            all_to_all(measure, &first, &second, &mut out)
        } else {
            let each = |(a, b): &mut (Option<_>, Option<_>), (at, out): (usize, &mut f64)| {
                let prepared = (
                    measure.prepare(first.slice(at), a.take())?,
                    measure.prepare(second.slice(at), b.take())?,
                );
                *out = measure.similarity(&prepared.0, &prepared.1);
                (*a, *b) = (Some(prepared.0), Some(prepared.1));
                Ok(())
            };
            let lines = out.par_iter_mut().enumerate();
            lines.try_for_each_init(|| (None, None), each)
        }
    })
    .map_err(|error: String| value_error(error))?;
    array_of_rows(py, out, first.len(), columns)
}

fn all_to_all<M: Measure>(measure: &M, a: &Stack<'_>, b: &Stack<'_>, out: &mut [f64]) -> Result<(), String> {
    let columns = b.len();
    let mut others = Vec::new();
    for row in (0..a.len()).step_by(HELD) {
        let rows = prepare(measure, a, row, Vec::new())?;
        for column in (0..columns).step_by(HELD) {
            others = prepare(measure, b, column, others)?;
            let downs = (0..rows.len()).step_by(TILE);
            let tiles =
                downs.flat_map(|down| (0..others.len()).step_by(TILE).map(move |along| (down, along)));
            let compare = |(down, along): (usize, usize)| {
                let rows = &rows[down..rows.len().min(down + TILE)];
                let others = &others[along..others.len().min(along + TILE)];
                let start = (row + down) * columns + column + along;
                (start, others.len(), measure.similarities(rows, others))
            };
            let tiles = tiles.collect::<Vec<_>>().into_par_iter().map(compare);
            for (start, width, tile) in tiles.collect::<Vec<_>>() {
                for (line, values) in tile.chunks(width).enumerate() {
                    out[start + line * columns..][..width].copy_from_slice(values);
                }
            }
        }
    }
    Ok(())
}

/// Up to [`HELD`] slices from `start` on, prepared.
fn prepare<'a, M: Measure>(
    measure: &M,
    stack: &Stack<'a>,
    start: usize,
    spares: Vec<M::Prepared<'a>>,
) -> Result<Vec<M::Prepared<'a>>, String> {
    let slices = start..stack.len().min(start + HELD);
    let mut spares: Vec<_> = spares.into_iter().map(Some).collect();
    spares.resize_with(slices.len(), || None);
    let slices = slices.into_par_iter().zip(spares);
    let prepared = slices.map(|(slice, spare)| measure.prepare(stack.slice(slice), spare));
    prepared.collect()
}

/// Slices of one size, one after the other.
struct Stack<'a> {
    rows: usize,
    columns: usize,
    pixels: &'a [u8],
}

impl<'a> Stack<'a> {
    fn new(array: &'a PyReadonlyArray3<'_, u8>) -> PyResult<Self> {
        let shape = array.shape();
        if shape[1] == 0 || shape[2] == 0 {
            return Err(value_error(format!(
                "expected at least one pixel, found {} × {}",
                shape[1], shape[2]
            )));
        }
        Ok(Self {
            rows: shape[1],
            columns: shape[2],
            pixels: array.as_slice()?,
        })
    }

    fn len(&self) -> usize {
        self.pixels.len() / (self.rows * self.columns)
    }

    fn slice(&self, at: usize) -> Picture<'a> {
        let size = self.rows * self.columns;
        Picture {
            rows: self.rows,
            columns: self.columns,
            pixels: &self.pixels[at * size..][..size],
        }
    }
}

/// A slice that another reader decoded: pixels, slope, intercept.
type Decoded<'py> = (Bound<'py, PyAny>, f64, f64);

/// Exemplar of each slice and similarity to it.
type Exemplars<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// The greedy rule by pixels at ascending thresholds, from one pass over volumes.
#[pyclass]
pub struct PixelSweep {
    inner: core::PixelSweep,
    settings: Settings,
    pool: rayon::ThreadPool,
    pairs: usize,
    avoided: usize,
}

#[pymethods]
impl PixelSweep {
    #[new]
    #[pyo3(signature = (*, method, window, thresholds, intensity, modality, max_slice_mb, threads))]
    fn new(
        method: &str,
        window: &str,
        thresholds: Vec<f64>,
        intensity: &str,
        modality: &str,
        max_slice_mb: u64,
        threads: usize,
    ) -> PyResult<Self> {
        let measure = PixelMeasure::parse(method, window).map_err(value_error)?;
        Ok(Self {
            inner: core::PixelSweep::new(measure, thresholds).map_err(value_error)?,
            settings: settings(8, intensity, modality, max_slice_mb)?,
            pool: rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(value_error)?,
            pairs: 0,
            avoided: 0,
        })
    }

    /// Read volumes, lists of (path, frame), and select from each; for each slice "" or why it was not compared.
    ///
    /// `decoded` holds slices that another reader read, by number among all slices of the call. `progress` is called
    /// with the number of slices decided on; KeyboardInterrupt stops it, and nothing of the call is added.
    fn add(
        &mut self,
        py: Python<'_>,
        volumes: Vec<Vec<(PathBuf, u32)>>,
        decoded: HashMap<usize, Decoded<'_>>,
        progress: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<String>> {
        let mut grey = HashMap::new();
        for (number, (pixels, slope, intercept)) in &decoded {
            grey.insert(*number, self.grey(pixels, *slope, *intercept)?);
        }
        let mut number = 0..;
        let source = |(path, frame)| match number.next().and_then(|number: usize| grey.remove(&number)) {
            Some(slice) => Source::Decoded(slice),
            None => Source::File(path, frame),
        };
        let mut source = source;
        let volumes = volumes
            .into_iter()
            .map(|volume| volume.into_iter().map(&mut source).collect())
            .collect();
        let watch = Watch::default();
        let Self {
            inner,
            settings,
            pool,
            ..
        } = self;
        let reasons = interruptible_while(
            py,
            &watch.stop,
            || {
                progress
                    .call1((watch.decided.load(Ordering::Relaxed),))
                    .map(|_| ())
            },
            || pool.install(|| inner.add(volumes, settings.intensity, &settings.read, &watch)),
        )?;
        self.pairs += watch.pairs.into_inner();
        self.avoided += watch.avoided.into_inner();
        reasons.map_err(value_error)
    }

    /// Number of slices kept at each threshold.
    fn kept_counts(&self, py: Python<'_>) -> Vec<usize> {
        py.detach(|| self.inner.kept())
    }

    /// Whether each slice is kept at the threshold of this place.
    fn kept<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Bound<'py, PyArray1<bool>>> {
        self.check(place)?;
        let numbered = (0u32..).zip(self.inner.covers_at(place));
        let kept: Vec<bool> = numbered.map(|(slice, cover)| cover.exemplar == slice).collect();
        Ok(array(py, &kept))
    }

    /// Exemplar of each slice, itself where kept, and the similarity to it, at the threshold of this place.
    fn exemplars<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Exemplars<'py>> {
        self.check(place)?;
        let covers = self.inner.covers_at(place);
        let (exemplar, similarity): (Vec<u32>, Vec<f32>) =
            covers.map(|cover| (cover.exemplar, cover.similarity)).unzip();
        Ok((array(py, &exemplar), array(py, &similarity)))
    }

    /// Pairs that the rule asked for, and those among them for which a bound was enough.
    fn pairs(&self) -> (usize, usize) {
        (self.pairs, self.avoided)
    }
}

impl PixelSweep {
    fn check(&self, place: usize) -> PyResult<()> {
        if place < self.inner.thresholds() {
            return Ok(());
        }
        let thresholds = self.inner.thresholds();
        Err(value_error(format!(
            "threshold {place} of {thresholds} is not there"
        )))
    }

    fn grey(
        &self,
        pixels: &Bound<'_, PyAny>,
        slope: f64,
        intercept: f64,
    ) -> PyResult<Result<GreySlice, String>> {
        let image = Images::borrow(pixels)?;
        let pixels = image.slice(slope, intercept)?;
        Ok(GreySlice::new(&pixels, self.settings.intensity))
    }
}
