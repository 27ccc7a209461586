//! `dhash` and `hamming`.

use crate::images::Images;
use crate::settings::{settings, value_error};
use ctprune_archive::reader::Hasher;
use ctprune_core::fingerprint::{bytes, words};
use ctprune_core::hamming::{Fingerprints, all_to_all, pairwise};
use ctprune_core::pixels::SlicePixels;
use ctprune_core::resample::PassOrder;
use numpy::{PyArray2, PyReadonlyArray2, PyUntypedArrayMethods, ToPyArray};
use pyo3::prelude::*;
use rayon::prelude::*;

/// Bytes of a fingerprint of `hash_size²` bits.
#[pyfunction]
pub fn fingerprint_bytes(hash_size: usize) -> usize {
    bytes(hash_size)
}

/// dHash of each of `images`, shape (n, rows, cols), as uint8 of shape (n, bytes).
#[pyfunction]
pub fn dhash<'py>(
    py: Python<'py>,
    images: &Bound<'py, PyAny>,
    hash_size: usize,
    intensity: &str,
    horizontal_first: bool,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let mut settings = settings(hash_size, intensity, "", 0)?;
    if horizontal_first {
        settings.pass_order = PassOrder::HorizontalFirst;
    }
    Hasher::new(&settings).map_err(value_error)?;
    let images = Images::borrow(images)?;
    let &[count, rows, columns] = images.shape() else {
        return Err(value_error(format!(
            "expected shape (n, rows, cols), found {:?}",
            images.shape()
        )));
    };
    if rows == 0 || columns == 0 {
        return Err(value_error(format!(
            "expected at least one pixel, found {rows} × {columns}"
        )));
    }
    let (stored, scale, width) = (images.stored()?, images.scale(), bytes(hash_size));
    let mut hashes = vec![0; count * width];
    py.detach(|| {
        hashes.par_chunks_exact_mut(width).enumerate().try_for_each_init(
            || Hasher::new(&settings),
            |hasher, (image, out)| {
                let hasher = hasher.as_mut().map_err(|error| error.clone())?;
                let (start, size) = (image * rows * columns, rows * columns);
                let pixels = SlicePixels {
                    rows,
                    columns,
                    stored: stored.range(start, start + size),
                    scale,
                };
                let mut fingerprint = vec![0; words(hash_size)];
                hasher
                    .hash_into(&pixels, &mut fingerprint)
                    .map_err(|error| format!("image {image}: {error}"))?;
                let all = fingerprint.iter().flat_map(|word| word.to_be_bytes());
                out.iter_mut().zip(all).for_each(|(to, from)| *to = from);
                Ok(())
            },
        )
    })
    .map_err(|error: String| value_error(error))?;
    array_of_rows(py, hashes, count, width)
}

/// Hamming distances of fingerprints, shape (n, bytes): row by row as (n, 1), or all to all as (n, m).
#[pyfunction]
pub fn hamming<'py>(
    py: Python<'py>,
    a: PyReadonlyArray2<'py, u8>,
    b: PyReadonlyArray2<'py, u8>,
    matrix: bool,
) -> PyResult<Bound<'py, PyArray2<u16>>> {
    let (first, second) = (PackedFingerprints::new(&a)?, PackedFingerprints::new(&b)?);
    if first.bytes != second.bytes {
        return Err(value_error(format!(
            "expected fingerprints of one length, found {} and {} bytes",
            first.bytes, second.bytes
        )));
    }
    let columns = if matrix { second.count } else { 1 };
    let mut distances = vec![0; first.count * columns];
    py.detach(|| {
        let (a, b) = (first.view()?, second.view()?);
        if matrix {
            all_to_all(a, b, &mut distances).map_err(value_error)
        } else {
            pairwise(a, b, &mut distances).map_err(value_error)
        }
    })?;
    array_of_rows(py, distances, first.count, columns)
}

/// Fingerprints as 64-bit words.
pub struct PackedFingerprints {
    words: Vec<u64>,
    per_fingerprint: usize,
    /// Bytes of each.
    pub bytes: usize,
    /// How many.
    pub count: usize,
}

impl PackedFingerprints {
    /// From uint8 of shape (n, bytes), C-contiguous.
    pub fn new(array: &PyReadonlyArray2<'_, u8>) -> PyResult<Self> {
        let (count, bytes) = (array.shape()[0], array.shape()[1]);
        if bytes == 0 {
            return Err(value_error("expected fingerprints of at least one byte"));
        }
        let data = array
            .as_slice()
            .map_err(|_| value_error("expected a C-contiguous array"))?;
        let words = data
            .chunks_exact(bytes)
            .flat_map(ctprune_archive::columns::words)
            .collect();
        Ok(Self {
            words,
            per_fingerprint: bytes.div_ceil(8),
            bytes,
            count,
        })
    }

    /// As the core takes them.
    pub fn view(&self) -> PyResult<Fingerprints<'_>> {
        Fingerprints::new(self.per_fingerprint, &self.words).map_err(value_error)
    }
}

/// A vector as a numpy array of two axes.
pub fn array_of_rows<T: numpy::Element>(
    py: Python<'_>,
    values: Vec<T>,
    rows: usize,
    columns: usize,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    use numpy::{PyArray1, PyArrayMethods};
    if rows == 0 || columns == 0 {
        return Ok(PyArray2::zeros(py, [rows, columns], false));
    }
    PyArray1::from_vec(py, values).reshape([rows, columns])
}

/// A vector as a numpy array.
pub fn array<'py, T: numpy::Element>(py: Python<'py>, values: &[T]) -> Bound<'py, numpy::PyArray1<T>> {
    values.to_pyarray(py)
}
