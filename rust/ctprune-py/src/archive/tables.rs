//! Volumes and rows, for the manifest and its parts.

use super::{Archive, shard};
use crate::rows::Rows;
use ctprune_archive::volumes::spacing::GeometryFlags;
use pyo3::prelude::*;
use pyo3::types::PyDict;

#[pymethods]
impl Archive {
    /// Number of volumes.
    fn volumes(&self) -> usize {
        self.inner.volumes().len()
    }

    /// First slice of each volume, and the number of slices.
    fn volume_starts(&self) -> Vec<usize> {
        self.inner.volumes().starts.clone()
    }

    /// Numbers of the volumes that belong to share `number`, from 1, of `of`.
    fn volumes_of(&self, number: u32, of: u32) -> PyResult<Vec<u32>> {
        Ok(self.inner.volumes_of(shard(number, of)?))
    }

    /// The slices of these volumes as a manifest of their own, whose rows and volumes go on from these numbers. First
    /// goes the number of the next row.
    fn volume_rows(&self, py: Python<'_>, volumes: Vec<u32>, row: u32, first_volume: u32) -> (u32, Rows) {
        let (next, batch) = py.detach(|| self.inner.volumes_batch(&volumes, row, first_volume));
        (next, Rows::new(batch.schema(), vec![batch]))
    }

    /// Number of volumes by what is unusual about their geometry.
    fn geometry_flags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = &self.inner.volumes().geometry_flags;
        let count = |has: fn(&GeometryFlags) -> bool| all.iter().filter(|flags| has(flags)).count();
        let dict = PyDict::new(py);
        dict.set_item("no_positions", count(|o| o.no_positions))?;
        dict.set_item("duplicate_positions", count(|o| o.duplicate_positions))?;
        dict.set_item("missing_slices", count(|o| o.missing_slices))?;
        dict.set_item("variable_spacing", count(|o| o.variable_spacing))?;
        dict.set_item("gantry_tilt", count(|o| o.gantry_tilt))?;
        Ok(dict)
    }

    /// Number of manifest rows.
    fn manifest_rows(&self) -> usize {
        self.inner.manifest_rows()
    }

    /// These manifest rows, or as many of the first ones as fit into a batch.
    fn rows(&self, py: Python<'_>, start: usize, stop: usize) -> Rows {
        let batch = py.detach(|| self.inner.batch(start..stop));
        Rows::new(batch.schema(), vec![batch])
    }

    /// Number of rows of the table, stale ones too: `part` takes from these.
    fn table_rows(&self) -> usize {
        self.inner.table().rows().len()
    }

    /// The same of these rows of the table, in the order of reading, before there is a selection. First goes the row
    /// that the next batch begins with.
    fn part(&self, py: Python<'_>, start: usize, stop: usize) -> (usize, Rows) {
        let (next, batch) = py.detach(|| self.inner.part(start..stop));
        (next, Rows::new(batch.schema(), vec![batch]))
    }
}
