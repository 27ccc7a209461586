//! `slice_spacing`.

use crate::settings::value_error;
use ctprune_archive::volumes::spacing::Spacing;
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Angles of the steps, and whether each leads elsewhere than most.
type Tilt<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<bool>>);

/// How n ordered slices of a volume follow each other: the usual distance in mm, the kind of each step, uint8 of shape
/// (n - 1,), and the tilt, if any.
#[pyfunction]
pub fn slice_spacing<'py>(
    py: Python<'py>,
    position_mm: PyReadonlyArray1<'py, f64>,
    image_position_patient: PyReadonlyArray2<'py, f64>,
    slice_thickness_mm: PyReadonlyArray1<'py, f64>,
    normal: [f64; 3],
) -> PyResult<(f64, Bound<'py, PyArray1<u8>>, Option<Tilt<'py>>)> {
    let (along, thickness) = (position_mm.as_slice()?, slice_thickness_mm.as_slice()?);
    let shape = image_position_patient.shape();
    if shape != [along.len(), 3] || thickness.len() != along.len() {
        return Err(value_error(format!(
            "expected positions of shape ({0}, 3) and {0} thicknesses, found shape {shape:?} and {1} thicknesses",
            along.len(),
            thickness.len()
        )));
    }
    let positions: Vec<[f64; 3]> = image_position_patient.as_slice()?.as_chunks().0.to_vec();
    let found = Spacing::of(along, &positions, thickness, normal);
    let tilt = found.tilt.map(|tilt| {
        (
            PyArray1::from_vec(py, tilt.degrees),
            PyArray1::from_vec(py, tilt.changed),
        )
    });
    let steps = found.steps.iter().map(|&step| step as u8).collect();
    Ok((found.usual_mm, PyArray1::from_vec(py, steps), tilt))
}
