//! Stable codes of refusals, by name.

use crate::settings::value_error;
use ctprune_dicom::code::{self, Code};
use pyo3::prelude::*;

/// All codes as tables in Markdown; `docs/codes.md` shows them.
#[pyfunction]
pub fn codes_documentation() -> String {
    code::documentation()
}

/// Name, meaning and action of every code, failures first.
#[pyfunction]
pub fn codes() -> Vec<(&'static str, &'static str, &'static str)> {
    let row = |about: &code::About| (about.name, about.meaning, about.action);
    code::CODES.iter().map(row).collect()
}

/// Names of the codes with which a gate leaves out a slice that was read.
#[pyfunction]
pub fn gate_codes() -> Vec<&'static str> {
    let gates = code::CODES.iter().filter(|about| about.code.is_gate());
    gates.map(|about| about.name).collect()
}

/// The code with this name; ValueError when there is none.
pub fn known_code(name: &str) -> PyResult<Code> {
    Code::from_name(name).ok_or_else(|| value_error(format_args!("unknown code {name:?}")))
}
