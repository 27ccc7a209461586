//! `fingerprint` and `hamming`.

use crate::images::Images;
use crate::pool;
use crate::settings::{settings, value_error};
use ctprune_archive::fingerprint_file::Hasher;
use ctprune_core::fingerprint::{bytes, words};
use ctprune_core::pixels::SlicePixels;
use ctprune_core::resample::PassOrder;
use ctprune_core::similarity::hamming::{Fingerprints, all_to_all, pairwise};
use numpy::{
    Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods, ToPyArray,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use rayon::prelude::*;

/// Fingerprint of this kind of each of `images`, shape (n, rows, cols), as uint8 of shape (n, bytes).
#[pyfunction]
#[pyo3(signature = (images, kind, hash_size, intensity, horizontal_first, threads=0))]
pub fn fingerprint<'py>(
    py: Python<'py>,
    images: &Bound<'py, PyAny>,
    kind: &str,
    hash_size: usize,
    intensity: &str,
    horizontal_first: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let mut settings = settings(kind, hash_size, intensity, "", 0)?;
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
    pool::run(py, threads, || {
        hashes.par_chunks_exact_mut(width).enumerate().try_for_each_init(
            || Hasher::new(&settings),
            |hasher, (image, out)| {
                let hasher = hasher.as_mut().map_err(|error| error.to_string())?;
                let (start, size) = (image * rows * columns, rows * columns);
                let pixels = SlicePixels {
                    extremes: None,
                    rows,
                    columns,
                    stored: stored.range(start, start + size),
                    scale,
                };
                let mut fingerprint = vec![0u64; words(hash_size)];
                hasher
                    .hash_into(&pixels, &mut fingerprint)
                    .map_err(|error| format!("image {image}: {error}"))?;
                let all = fingerprint.iter().flat_map(|word| word.to_be_bytes());
                out.iter_mut().zip(all).for_each(|(to, from)| *to = from);
                Ok(())
            },
        )
    })?
    .map_err(|error: String| value_error(error))?;
    array_of_rows(py, hashes, count, width)
}

/// Hamming distances of fingerprints, uint8 of shape (n, bytes) or uint64 of shape (n, words): row by row as (n, 1), or
/// all to all as (n, m).
#[pyfunction]
#[pyo3(signature = (a, b, matrix, threads=0))]
pub fn hamming<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    matrix: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<u16>>> {
    let (first, second) = (FingerprintArray::borrow(a)?, FingerprintArray::borrow(b)?);
    if first.bytes != second.bytes {
        return Err(value_error(format!(
            "expected fingerprints of one length, found {} and {} bytes",
            first.bytes, second.bytes
        )));
    }
    let (a, b) = (first.view()?, second.view()?);
    let columns = if matrix { b.len() } else { 1 };
    let mut distances = vec![0; a.len() * columns];
    pool::run(py, threads, || {
        if matrix {
            all_to_all(a, b, &mut distances)
        } else {
            pairwise(a, b, &mut distances)
        }
    })?
    .map_err(value_error)?;
    array_of_rows(py, distances, a.len(), columns)
}

/// Fingerprints of numpy, as 64-bit words.
pub struct FingerprintArray<'py> {
    words: Words<'py>,
    /// Bytes of each.
    bytes: usize,
}

/// The first bit of a fingerprint is the most significant one of its first byte or word.
enum Words<'py> {
    /// Made of bytes.
    Packed(Vec<u64>),
    /// As they were given.
    Borrowed(PyReadonlyArray2<'py, u64>),
}

impl<'py> FingerprintArray<'py> {
    /// From uint8 of shape (n, bytes), or uint64 of shape (n, words), which is not copied; C-contiguous.
    pub fn borrow(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = array.cast::<PyArray2<u64>>() {
            let array = array.try_readonly()?;
            let bytes = at_least_one(array.shape()[1], "word")? * 8;
            array.as_slice().map_err(|_| not_contiguous())?;
            return Ok(Self {
                words: Words::Borrowed(array),
                bytes,
            });
        }
        let array = array.cast::<PyArray2<u8>>().map_err(|_| {
            PyTypeError::new_err("expected uint8 of shape (n, bytes) or uint64 of shape (n, words)")
        })?;
        let array = array.try_readonly()?;
        let bytes = at_least_one(array.shape()[1], "byte")?;
        let data = array.as_slice().map_err(|_| not_contiguous())?;
        let words = data
            .chunks_exact(bytes)
            .flat_map(ctprune_archive::rows::value::words)
            .collect();
        Ok(Self {
            words: Words::Packed(words),
            bytes,
        })
    }

    /// As the core takes them.
    pub fn view(&self) -> PyResult<Fingerprints<'_>> {
        let words = match &self.words {
            Words::Packed(words) => words,
            Words::Borrowed(array) => array.as_slice()?,
        };
        Fingerprints::new(self.bytes.div_ceil(8), words).map_err(value_error)
    }
}

fn at_least_one(length: usize, what: &str) -> PyResult<usize> {
    if length == 0 {
        return Err(value_error(format!(
            "expected fingerprints of at least one {what}"
        )));
    }
    Ok(length)
}

fn not_contiguous() -> PyErr {
    value_error("expected a C-contiguous array")
}

/// A vector as a numpy array of two axes.
pub fn array_of_rows<T: Element>(
    py: Python<'_>,
    values: Vec<T>,
    rows: usize,
    columns: usize,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    if rows == 0 || columns == 0 {
        return Ok(PyArray2::zeros(py, [rows, columns], false));
    }
    PyArray1::from_vec(py, values).reshape([rows, columns])
}

/// A vector as a numpy array.
pub fn array<'py, T: Element>(py: Python<'py>, values: &[T]) -> Bound<'py, PyArray1<T>> {
    values.to_pyarray(py)
}
