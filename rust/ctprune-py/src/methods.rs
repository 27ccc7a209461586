//! `methods` and `nearest_kept`.

use ctprune_archive::methods::{DEFAULT_FINGERPRINT, Default, Description, METHODS, Measure, Way};
use ctprune_core::selection;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What is to be known of each reduction method, by name of the fact.
#[pyfunction]
pub fn methods(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    METHODS.iter().map(|method| described(py, method)).collect()
}

/// The kind of fingerprint that methods are given which do with any.
pub fn default_fingerprint() -> &'static str {
    DEFAULT_FINGERPRINT.name
}

/// Index of the number kept that comes nearest to `wanted`, ties to the first.
#[pyfunction]
pub fn nearest_kept(kept: Vec<usize>, wanted: f64) -> Option<usize> {
    selection::nearest_kept(kept, wanted)
}

fn described<'py>(py: Python<'py>, method: &Description) -> PyResult<Bound<'py, PyDict>> {
    let options = PyDict::new(py);
    for (name, default) in method.options {
        match default {
            Default::None => options.set_item(name, py.None())?,
            Default::Whole(number) => options.set_item(name, number)?,
            Default::Word(word) => options.set_item(name, word)?,
        }
    }
    let dict = PyDict::new(py);
    dict.set_item("name", method.name)?;
    dict.set_item("drops", method.drops)?;
    dict.set_item("citation", method.citation)?;
    dict.set_item("source", method.source)?;
    dict.set_item("fingerprint", method.fingerprint.map(|kind| kind.name))?;
    let measure = method.measure.as_ref();
    dict.set_item(
        "measure",
        measure.map(|measure| measure_dict(py, measure)).transpose()?,
    )?;
    let on_embeddings = method.on_embeddings.as_ref();
    dict.set_item(
        "on_embeddings",
        on_embeddings
            .map(|measure| measure_dict(py, measure))
            .transpose()?,
    )?;
    dict.set_item("role", method.role.name())?;
    dict.set_item("options", options)?;
    dict.set_item("compares", method.compares())?;
    dict.set_item("by_points", matches!(method.way, Way::Points(_)))?;
    Ok(dict)
}

fn measure_dict<'py>(py: Python<'py>, measure: &Measure) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", measure.name)?;
    dict.set_item("unit", measure.unit)?;
    dict.set_item("larger_is_closer", measure.larger_is_closer)?;
    dict.set_item("low", measure.low)?;
    dict.set_item("high", measure.high)?;
    dict.set_item("example", measure.example)?;
    dict.set_item("grid", (measure.grid)())?;
    dict.set_item("strictest_drops", measure.strictest_drops)?;
    Ok(dict)
}
