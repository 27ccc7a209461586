"""The slices of a finished run as columns, from which every part of the report is made."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ctprune.errors import ManifestError
from ctprune.manifest.gaps import gap_percentiles
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.run_address import speaking_of
from ctprune.manifest.slices import Booleans, Floats, Integers, Slices
from ctprune.manifest.summary_file import SUMMARY_NAME, load_summary
from ctprune.selection.methods import Measure, Method, method_of
from ctprune.sources.addresses import as_address

__all__ = ["Booleans", "Floats", "Integers", "RunSlices", "load_run"]


class RunSlices(Slices):
    """A reduction's slices, with the values that the report shows.

    Args:
        folder: The reduction's folder.
        manifest: The whole manifest, refused files included.
        summary: The reduction's summary.
    """

    def __init__(self, folder: Path, manifest: Manifest, summary: dict[str, Any]) -> None:
        super().__init__(manifest.slices().rows, manifest.config)
        self.folder = folder
        self.manifest = manifest
        self.summary = summary

    @property
    def measure(self) -> Measure | None:
        """The measure of `similarity`; None if slices were not compared."""
        return self.method.recorded

    @property
    def method(self) -> Method:
        """The reduction's method."""
        return method_of(self.config)

    @property
    def threshold(self) -> float | None:
        """The threshold that was used, also if a fraction was given."""
        found = self.summary["threshold"]
        return None if found is None else float(found)

    @cached_property
    def slices_in_volume(self) -> Integers:
        """Number of slices of each volume, shape (v,)."""
        return np.diff(self.starts)

    @cached_property
    def kept_in_volume(self) -> Integers:
        """Number of kept slices of each volume, shape (v,)."""
        return np.add.reduceat(self.kept.astype(np.int64), self.starts[:-1])

    @cached_property
    def kept_fraction(self) -> Floats:
        """Kept fraction of each volume, shape (v,)."""
        fraction: Floats = self.kept_in_volume / self.slices_in_volume
        return fraction

    @cached_property
    def covered(self) -> Integers:
        """How many dropped slices each slice covers, shape (n,)."""
        dropped = ~self.kept & (self.exemplar >= 0)
        return np.bincount(self.exemplar[dropped], minlength=len(self)).astype(np.int64)

    @cached_property
    def gaps(self) -> dict[str, Any] | None:
        """Distances of dropped slices to their exemplars along the body, see `gap_percentiles`."""
        rows = np.flatnonzero(~self.kept & (self.exemplar >= 0))
        rows = rows[self.volume[rows] == self.volume[self.exemplar[rows]]]
        gaps = np.abs(self.position_mm[rows] - self.position_mm[self.exemplar[rows]])
        return gap_percentiles(gaps[np.isfinite(gaps)].astype(np.float32))

    @cached_property
    def relative_position(self) -> Floats:
        """Position in the volume, from 0 (first) to 1 (last), shape (n,); NaN in volumes of one slice.

        By position along the normal if all slices of the volume have one, else by index.
        """
        by_index = self._scaled(self.slice_index.astype(np.float64))
        by_position = self._scaled(self.position_mm)
        return np.where(np.isfinite(by_position), by_position, by_index)

    def _scaled(self, values: Floats) -> Floats:
        """Values scaled to 0 to 1 within each volume; NaN if all are equal or one is unknown."""
        low = np.minimum.reduceat(values, self.starts[:-1])
        span = np.maximum.reduceat(values, self.starts[:-1]) - low
        span[span == 0] = np.nan
        scaled: Floats = (values - np.repeat(low, self.slices_in_volume)) / np.repeat(span, self.slices_in_volume)
        return scaled


def load_run(run: str | os.PathLike[str]) -> RunSlices:
    """Read a finished run.

    Raises:
        ManifestError: There is no manifest or no summary, they do not belong together, or there is no slice.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> slices = load_run(folder / "run")
    >>> slices.volumes, int(slices.slices_in_volume.sum()) == len(slices)
    (2, True)
    """
    manifest = Manifest.load(run)
    folder = manifest_path(run).parent
    name = as_address(run) or str(folder)
    with speaking_of({folder: name}):
        summary = load_summary(folder)
    counts = manifest.counts()
    if summary.get("config") != manifest.config or any(
        summary.get(status) != counts[status] for status in ("kept", "dropped")
    ):
        raise ManifestError(
            f"{name}: {SUMMARY_NAME} does not belong to the manifest beside it: run 'ctprune reduce' again"
        )
    if not counts["kept"] + counts["dropped"]:
        raise ManifestError(
            f"{name}: the reduction has no slice, so there is nothing to show: 'ctprune info {name}' says why"
        )
    return RunSlices(folder, manifest, summary)
