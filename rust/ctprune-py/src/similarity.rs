//! `ssim`, `mutual_information` and `PixelSweep`.

use crate::archive::counted;
use crate::fetch::fetching;
use crate::fingerprint::{array, array_of_rows};
use crate::foreign::decoding;
use crate::pool;
use crate::settings::{read_options, value_error};
use ctprune_archive::discover::location::Location;
use ctprune_archive::methods::gray_slices::{Reading, SliceFile};
use ctprune_archive::methods::pixel_sweep::{self as core, Thresholds, VolumeRule};
use ctprune_archive::methods::{Request, Share};
use ctprune_core::intensity::Intensity;
use ctprune_core::option::OptionError;
use ctprune_core::similarity::mi::MutualInformation;
use ctprune_core::similarity::ssim::{Ssim, Window};
use ctprune_core::similarity::{Measure, Picture, PictureError};
use ctprune_core::watch::Watch;
use ctprune_dicom::slice::ReadOptions;
use numpy::{PyArray1, PyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// Slices whose maps are held at a time when all are compared with all.
const HELD: usize = 32;

/// Slices, of those held, that one thread compares with as many others together.
const TILE: usize = 8;

/// SSIM of slices, uint8 of shape (n, rows, cols): row by row as (n, 1), or all to all as (n, m).
#[pyfunction]
#[pyo3(signature = (a, b, window, matrix, threads=0))]
pub fn ssim<'py>(
    py: Python<'py>,
    a: PyReadonlyArray3<'py, u8>,
    b: PyReadonlyArray3<'py, u8>,
    window: &str,
    matrix: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    similarities(
        py,
        &Ssim::new(Window::parse(window).map_err(value_error)?),
        &a,
        &b,
        matrix,
        threads,
    )
}

/// Normalized mutual information of slices, uint8 of shape (n, rows, cols): row by row as (n, 1), or all to all as (n, m).
#[pyfunction]
#[pyo3(signature = (a, b, matrix, threads=0))]
pub fn mutual_information<'py>(
    py: Python<'py>,
    a: PyReadonlyArray3<'py, u8>,
    b: PyReadonlyArray3<'py, u8>,
    matrix: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    similarities(py, &MutualInformation, &a, &b, matrix, threads)
}

fn similarities<'py, M: Measure>(
    py: Python<'py>,
    measure: &M,
    a: &PyReadonlyArray3<'py, u8>,
    b: &PyReadonlyArray3<'py, u8>,
    matrix: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (first, second) = (Stack::new(a)?, Stack::new(b)?);
    let columns = if matrix { second.len() } else { 1 };
    let mut out = vec![0.0; first.len() * columns];
    pool::run(py, threads, || {
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
            let pairs = out.par_iter_mut().enumerate();
            pairs.try_for_each_init(|| (None, None), each)
        }
    })?
    .map_err(|error: PictureError| value_error(error))?;
    array_of_rows(py, out, first.len(), columns)
}

fn all_to_all<M: Measure>(
    measure: &M,
    a: &Stack<'_>,
    b: &Stack<'_>,
    out: &mut [f64],
) -> Result<(), PictureError> {
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
                for (row, values) in tile.chunks(width).enumerate() {
                    out[start + row * columns..][..width].copy_from_slice(values);
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
) -> Result<Vec<M::Prepared<'a>>, PictureError> {
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

/// Exemplar of each slice and similarity to it.
type Exemplars<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// The greedy rule by pixels at ascending thresholds, from one pass over volumes.
#[pyclass]
pub struct PixelSweep {
    inner: core::PixelSweep<Box<dyn VolumeRule>>,
    intensity: Intensity,
    options: ReadOptions,
    pool: Arc<rayon::ThreadPool>,
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
        let rule = rule(method, window).map_err(value_error)?;
        let thresholds = Thresholds::new(thresholds).map_err(value_error)?;
        Ok(Self {
            inner: core::PixelSweep::new(rule, thresholds),
            intensity: Intensity::parse(intensity).map_err(value_error)?,
            options: read_options(modality, max_slice_mb),
            pool: pool::pool(threads)?,
        })
    }

    /// Read volumes, lists of (path, frame, number of pixels, whether only another reader can decode it), and select
    /// from each.
    ///
    /// `decode(path, frames)` is that other reader; `progress` is called with the number of slices of the call decided
    /// on. KeyboardInterrupt stops it; then the sweep is not to be used.
    #[pyo3(signature = (volumes, decode, progress, fetch=None))]
    fn add(
        &mut self,
        py: Python<'_>,
        volumes: Vec<Vec<(PathBuf, u32, usize, bool)>>,
        decode: &Bound<'_, PyAny>,
        progress: &Bound<'_, PyAny>,
        fetch: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let file = |(path, frame, pixels, is_foreign)| SliceFile {
            location: Location::parse::<PathBuf>(path),
            frame,
            pixels,
            is_foreign,
        };
        let volumes = volumes
            .into_iter()
            .map(|volume| volume.into_iter().map(file).collect());
        let watch = Watch::default();
        let Self {
            inner,
            intensity,
            options,
            pool,
        } = self;
        fetching(fetch, &watch, |fetch| {
            decoding(py, *intensity, &watch, decode, progress, |decode| {
                let reading = Reading {
                    intensity: *intensity,
                    options,
                    fetch,
                    decode,
                };
                pool.install(|| inner.add(volumes, &reading, &watch))
            })?
            .map_err(value_error)
        })
    }

    /// Slices that could not be compared, so are kept at every threshold, counted by reason.
    fn left_out<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        counted(py, self.inner.left_out())
    }

    /// Number of slices kept at each threshold.
    fn kept_counts(&self, py: Python<'_>) -> Vec<usize> {
        py.detach(|| self.inner.kept())
    }

    /// Whether each slice is kept at the threshold of this index.
    fn kept<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyArray1<bool>>> {
        self.check(index)?;
        let numbered = (0u32..).zip(self.inner.covers_at(index));
        let kept: Vec<bool> = numbered.map(|(slice, cover)| cover.exemplar == slice).collect();
        Ok(array(py, &kept))
    }

    /// Exemplar of each slice, itself where kept, and the similarity to it, at the threshold of this index.
    fn exemplars<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Exemplars<'py>> {
        self.check(index)?;
        let covers = self.inner.covers_at(index);
        let (exemplar, similarity): (Vec<u32>, Vec<f32>) =
            covers.map(|cover| (cover.exemplar, cover.similarity)).unzip();
        Ok((array(py, &exemplar), array(py, &similarity)))
    }

    /// Pairs that the rule asked for, and those among them for which a bound was enough.
    fn pairs(&self) -> (usize, usize) {
        self.inner.pairs()
    }
}

impl PixelSweep {
    fn check(&self, index: usize) -> PyResult<()> {
        if index < self.inner.thresholds() {
            return Ok(());
        }
        let thresholds = self.inner.thresholds();
        Err(value_error(format!(
            "expected the index of one of {thresholds} thresholds, found {index}"
        )))
    }
}

/// The rule of a method that compares pixels.
fn rule(method: &str, window: &str) -> Result<Box<dyn VolumeRule>, OptionError> {
    let request = Request {
        method: method.to_owned(),
        threshold: None,
        share: Share::default(),
        n: 1,
        seed: 0,
        clusters: None,
        window: window.to_owned(),
        max_gap_mm: None,
    };
    request.volume_rule()
}
