//! `encode_frame`: one gray frame to the compressed bytes that DICOM encapsulates.

use ctprune_encode::{Frame, Samples};
use numpy::{PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Stored values copied out of numpy, so that encoding runs without the GIL.
enum Owned {
    U8(Vec<u8>),
    U16(Vec<u16>),
}

/// Compress one gray frame without loss.
///
/// `pixels` has shape (rows, cols) and dtype int16, uint16 or uint8; `transfer_syntax_uid` is RLE Lossless,
/// JPEG Lossless SV1 or JPEG-LS Lossless; `bits_stored` is DICOM's BitsStored. Raises TypeError for another
/// dtype or shape, ValueError for the rest.
#[pyfunction]
#[pyo3(signature = (pixels, transfer_syntax_uid, bits_stored))]
pub fn encode_frame<'py>(
    py: Python<'py>,
    pixels: &Bound<'py, PyAny>,
    transfer_syntax_uid: &str,
    bits_stored: u8,
) -> PyResult<Bound<'py, PyBytes>> {
    let ([rows, columns], owned) = copy_pixels(pixels)?;
    let encoded = py.detach(|| {
        let samples = match &owned {
            Owned::U8(values) => Samples::U8(values),
            Owned::U16(values) => Samples::U16(values),
        };
        let frame = Frame::new(rows, columns, bits_stored, samples)?;
        ctprune_encode::frame(&frame, transfer_syntax_uid)
    });
    encoded
        .map(|bytes| PyBytes::new(py, &bytes))
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

fn copy_pixels(pixels: &Bound<'_, PyAny>) -> PyResult<([usize; 2], Owned)> {
    if let Ok(array) = pixels.extract::<PyReadonlyArray2<'_, i16>>() {
        return Ok((
            shape(&array),
            Owned::U16(array.as_array().iter().map(|&v| v as u16).collect()),
        ));
    }
    if let Ok(array) = pixels.extract::<PyReadonlyArray2<'_, u16>>() {
        return Ok((
            shape(&array),
            Owned::U16(array.as_array().iter().copied().collect()),
        ));
    }
    if let Ok(array) = pixels.extract::<PyReadonlyArray2<'_, u8>>() {
        return Ok((
            shape(&array),
            Owned::U8(array.as_array().iter().copied().collect()),
        ));
    }
    Err(PyTypeError::new_err(
        "pixels must be a (rows, cols) array of int16, uint16 or uint8",
    ))
}

fn shape<T: numpy::Element>(array: &PyReadonlyArray2<'_, T>) -> [usize; 2] {
    [array.shape()[0], array.shape()[1]]
}
