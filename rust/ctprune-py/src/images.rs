//! numpy arrays of slices, borrowed.

use ctprune_core::pixels::{Scale, SlicePixels, Stored};
use numpy::{Element, PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// An array of one of the types that slices come in.
pub enum Images<'py> {
    U8(PyReadonlyArrayDyn<'py, u8>),
    I8(PyReadonlyArrayDyn<'py, i8>),
    U16(PyReadonlyArrayDyn<'py, u16>),
    I16(PyReadonlyArrayDyn<'py, i16>),
    U32(PyReadonlyArrayDyn<'py, u32>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    F32(PyReadonlyArrayDyn<'py, f32>),
    F64(PyReadonlyArrayDyn<'py, f64>),
}

macro_rules! each_kind {
    ($images:expr, $array:ident => $then:expr) => {
        match $images {
            Images::U8($array) => $then,
            Images::I8($array) => $then,
            Images::U16($array) => $then,
            Images::I16($array) => $then,
            Images::U32($array) => $then,
            Images::I32($array) => $then,
            Images::F32($array) => $then,
            Images::F64($array) => $then,
        }
    };
}

impl<'py> Images<'py> {
    /// Borrows the array; TypeError for another dtype, ValueError when it is not C-contiguous.
    pub fn borrow(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        let images = kind(array, Images::U8)
            .or_else(|| kind(array, Images::I8))
            .or_else(|| kind(array, Images::U16))
            .or_else(|| kind(array, Images::I16))
            .or_else(|| kind(array, Images::U32))
            .or_else(|| kind(array, Images::I32))
            .or_else(|| kind(array, Images::F32))
            .or_else(|| kind(array, Images::F64))
            .ok_or_else(|| {
                PyTypeError::new_err(
                    "expected a numpy array of uint8, int8, uint16, int16, uint32, int32, float32 or float64",
                )
            })?;
        if !each_kind!(&images, array => array.is_c_contiguous()) {
            return Err(PyValueError::new_err("expected a C-contiguous array"));
        }
        Ok(images)
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        each_kind!(self, array => array.shape())
    }

    /// Its values; contiguity was checked when it was borrowed.
    pub fn stored(&self) -> PyResult<Stored<'_>> {
        Ok(match self {
            Images::U8(array) => Stored::U8(array.as_slice()?),
            Images::I8(array) => Stored::I8(array.as_slice()?),
            Images::U16(array) => Stored::U16(array.as_slice()?),
            Images::I16(array) => Stored::I16(array.as_slice()?),
            Images::U32(array) => Stored::U32(array.as_slice()?),
            Images::I32(array) => Stored::I32(array.as_slice()?),
            Images::F32(array) => Stored::F32(array.as_slice()?),
            Images::F64(array) => Stored::F64(array.as_slice()?),
        })
    }

    /// One slice of Hounsfield units with this slope and intercept; ValueError unless it has two dimensions.
    pub fn slice(&self, slope: f64, intercept: f64) -> PyResult<SlicePixels<'_>> {
        let &[rows, columns] = self.shape() else {
            let found = self.shape();
            return Err(PyValueError::new_err(format!(
                "expected shape (rows, cols), found {found:?}"
            )));
        };
        Ok(SlicePixels {
            extremes: None,
            rows,
            columns,
            stored: self.stored()?,
            scale: Scale::Hounsfield { slope, intercept },
        })
    }

    /// 8-bit values are gray as they are, all others Hounsfield units.
    pub fn scale(&self) -> Scale {
        match self {
            Images::U8(_) => Scale::Gray8,
            _ => Scale::Hounsfield {
                slope: 1.0,
                intercept: 0.0,
            },
        }
    }
}

fn kind<'py, T: Element>(
    array: &Bound<'py, PyAny>,
    wrap: impl FnOnce(PyReadonlyArrayDyn<'py, T>) -> Images<'py>,
) -> Option<Images<'py>> {
    let array = array.cast::<PyArrayDyn<T>>().ok()?;
    numpy::PyArrayMethods::try_readonly(array).ok().map(wrap)
}
