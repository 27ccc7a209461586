//! A device that Python speaks to, such as a GPU.

use ctprune_core::selection::kmeans::{Centroids, Device, Guesses, Vectors};
use ctprune_core::watch::Watch;
use numpy::ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Calls a function with rows, uint32 of shape (m,), and centroids, float32 of shape (k, features). It returns the numbers
/// of the nearest centroids, uint32, and their margins, float32, both of shape (m,), or None once it can compare no more.
/// What it raises stops the work.
pub struct PythonDevice<'a> {
    function: Py<PyAny>,
    watch: &'a Watch,
    failure: Mutex<Option<PyErr>>,
}

impl<'a> PythonDevice<'a> {
    pub fn new(function: Py<PyAny>, watch: &'a Watch) -> Self {
        Self {
            function,
            watch,
            failure: Mutex::new(None),
        }
    }

    /// Raises what the function raised.
    pub fn end(self) -> PyResult<()> {
        let failure = self.failure.into_inner();
        failure
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Ok(()), Err)
    }

    fn call(&self, py: Python<'_>, rows: &[u32], centroids: &Centroids) -> PyResult<Option<Guesses>> {
        let shape = (centroids.len(), centroids.features());
        let numbers = Array2::from_shape_fn(shape, |(row, feature)| centroids.row(row)[feature]);
        let asked = (
            PyArray1::from_slice(py, rows),
            PyArray2::from_owned_array(py, numbers),
        );
        let found = self.function.bind(py).call1(asked)?;
        if found.is_none() {
            return Ok(None);
        }
        let (cluster, margin): (PyReadonlyArray1<'_, u32>, PyReadonlyArray1<'_, f32>) = found.extract()?;
        let guesses = Guesses {
            cluster: cluster.as_slice()?.to_vec(),
            margin: margin.as_slice()?.to_vec(),
        };
        let fits = guesses.cluster.len() == rows.len() && guesses.margin.len() == rows.len();
        if !fits || guesses.cluster.iter().any(|&number| number as usize >= shape.0) {
            return Err(PyValueError::new_err(format!(
                "expected the nearest of {} centroids for {} rows",
                shape.0,
                rows.len()
            )));
        }
        Ok(Some(guesses))
    }
}

impl Device for PythonDevice<'_> {
    fn nearest(&self, rows: &[u32], centroids: &Centroids) -> Option<Guesses> {
        let found = Python::attach(|py| self.call(py, rows, centroids));
        found.unwrap_or_else(|failure| {
            self.watch.stop();
            let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(failure);
            None
        })
    }
}
