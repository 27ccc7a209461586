//! Groups, gates, the choice of exemplars, and what changed since an earlier choice.

use super::Archive;
use crate::codes::known_code;
use crate::fetch::fetching;
use crate::foreign::decoding;
use crate::manifest::ManifestReader;
use crate::manifest_error::manifest_error;
use crate::settings::{compile, value_error};
use ctprune_archive::archive::{self as core, Reason};
use ctprune_archive::methods::{Request, Share};
use ctprune_archive::rows::manifest_writer::ROWS_PER_GROUP;
use ctprune_archive::volumes::order::Order;
use ctprune_core::watch::Watch;
use ctprune_dicom::code::Reason as GateReason;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Rows, whether each is kept now, the index of its reason, and the reasons.
type Changes<'py> = (
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<bool>>,
    Bound<'py, PyArray1<u8>>,
    Vec<&'static str>,
);

#[pymethods]
impl Archive {
    /// Group into volumes, in order.
    #[pyo3(signature = (order, volume_pattern))]
    fn group(&mut self, py: Python<'_>, order: &str, volume_pattern: Option<&str>) -> PyResult<()> {
        let order = match order {
            "position" => Order::Position,
            "path" => Order::Path,
            other => {
                return Err(value_error(format!(
                    "order: expected position or path, found {other:?}"
                )));
            }
        };
        let pattern = volume_pattern.map(compile).transpose()?;
        py.detach(|| self.inner.group(order, pattern.as_ref()));
        Ok(())
    }

    /// Leave these grouped slices out, by their numbers in order, with this code and reason; group again afterwards.
    fn gate(&mut self, slices: PyReadonlyArray1<'_, u32>, code: &str, reason: &str) -> PyResult<()> {
        let slices = slices.as_slice()?;
        if slices
            .iter()
            .any(|&slice| slice as usize >= self.inner.volumes().order.len())
        {
            return Err(value_error("a slice to leave out is not one of the grouped ones"));
        }
        self.inner
            .gate(slices, &GateReason::new(known_code(code)?, reason.to_owned()));
        Ok(())
    }

    /// Choose among the grouped slices; KeyboardInterrupt stops it.
    ///
    /// `decode(path, frames)` reads slices that only another reader can; `fetch` gives what is on other machines;
    /// `progress` is called with the number of slices decided on by methods that read pixels. `stable` keeps what was
    /// kept before; `volumes` are those to choose in.
    #[pyo3(signature = (*, method, threshold, keep, budget, n, seed, window, max_gap_mm, whole_archive, stable, volumes, decode, fetch, progress))]
    #[allow(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn select(
        slf: &Bound<'_, Self>,
        method: String,
        threshold: Option<f64>,
        keep: Option<f64>,
        budget: Option<usize>,
        n: Option<usize>,
        seed: Option<u64>,
        window: Option<String>,
        max_gap_mm: Option<f64>,
        whole_archive: bool,
        stable: bool,
        volumes: Option<Vec<u32>>,
        decode: &Bound<'_, PyAny>,
        fetch: Option<&Bound<'_, PyAny>>,
        progress: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let request = Request {
            method,
            threshold,
            share: Share { keep, budget },
            n: n.unwrap_or(1),
            seed: seed.unwrap_or(0),
            clusters: None,
            window: window.unwrap_or_default(),
            max_gap_mm,
        };
        let wish = core::Wish {
            whole_archive,
            stable,
            volumes: volumes.as_deref(),
        };
        let watch = Watch::default();
        // Only read from until there is a choice, so that `progress` may ask how far it has come.
        let shared = slf.borrow();
        let inner = &shared.inner;
        let intensity = inner.settings().intensity;
        let choice = fetching(fetch, &watch, |fetch| {
            decoding(slf.py(), intensity, &watch, decode, progress, |decode| {
                inner.choose(&request, wish, decode, fetch, &watch)
            })?
            .map_err(value_error)
        })?;
        drop(shared);
        slf.borrow_mut().inner.set_choice(choice, volumes.is_some());
        Ok(())
    }

    /// Take over the selections of a file, volume by volume, where a volume has the same slices here.
    fn adopt(&mut self, py: Python<'_>, reader: &ManifestReader) -> PyResult<()> {
        let Self { inner, adoption } = self;
        let adoption = adoption.get_or_insert_with(|| core::Adoption::new(inner));
        py.detach(|| {
            adoption.begin();
            for batch in reader.inner().batches(None, ROWS_PER_GROUP)? {
                adoption.add(inner, &batch?);
            }
            adoption.settle(inner);
            Ok(())
        })
        .map_err(manifest_error)
    }

    /// End the taking over; returns the volumes that are still to be chosen in.
    fn finish_adoption(&mut self) -> Vec<u32> {
        let adoption = self.adoption.take();
        let adoption = adoption.unwrap_or_else(|| core::Adoption::new(&self.inner));
        self.inner.adopt(adoption)
    }

    /// Set a selection that was made outside: for each slice its exemplar and the similarity to it.
    fn set_selection(
        &mut self,
        exemplar: PyReadonlyArray1<'_, u32>,
        similarity: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<()> {
        let (exemplar, similarity) = (exemplar.as_slice()?.to_vec(), similarity.as_slice()?.to_vec());
        self.inner
            .set_selection(exemplar, similarity)
            .map_err(value_error)
    }

    /// Whether each grouped slice was kept by the earlier selection, and its file is the same; shape (n,).
    fn kept_before<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<bool>> {
        PyArray1::from_vec(py, self.inner.kept_before())
    }

    /// The slices that are decided on otherwise than before: their manifest rows, whether they are kept now, and the
    /// index of the reason of each; then the reasons.
    fn changes<'py>(&self, py: Python<'py>) -> Changes<'py> {
        let changes = py.detach(|| self.inner.changes());
        let reasons = changes.iter().map(|change| change.reason.index()).collect();
        (
            PyArray1::from_iter(py, changes.iter().map(|change| change.row)),
            PyArray1::from_iter(py, changes.iter().map(|change| change.is_kept)),
            PyArray1::from_vec(py, reasons),
            Reason::ALL.map(Reason::sentence).to_vec(),
        )
    }

    /// What is known of the comparisons of pixels, by name; None where none were made.
    fn comparisons<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(found) = self.inner.choice().and_then(|choice| choice.comparisons.as_ref()) else {
            return Ok(None);
        };
        let dict = PyDict::new(py);
        dict.set_item("pairs", found.pairs)?;
        dict.set_item("pairs_bounded", found.bounded)?;
        dict.set_item("not_compared_so_kept", counted(py, &found.left_out)?)?;
        Ok(Some(dict))
    }

    /// How far along the body each dropped slice is from its exemplar, in mm, float32; only slices with positions whose
    /// exemplar is in their volume.
    fn gaps_mm<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_vec(py, self.inner.gaps_mm())
    }

    /// The threshold that the last selection used, if it has one.
    fn threshold(&self) -> Option<f64> {
        self.inner.choice()?.threshold
    }
}

/// Numbers by reason, in their order.
pub(crate) fn counted<'py>(py: Python<'py>, reasons: &[(String, usize)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (reason, count) in reasons {
        dict.set_item(reason, count)?;
    }
    Ok(dict)
}
