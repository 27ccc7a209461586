"""The slices of a finished run as columns: what every part of the report is made from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ctprune.errors import ManifestError
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.reduction.reduction import SUMMARY_NAME, load_summary
from ctprune.report.measures import MEASURES, Measure

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RunSlices:
    """A run's slices, in the manifest's order, so that a slice's place here is its row in the manifest.

    Attributes:
        folder: The run's folder.
        manifest: The whole manifest, refused files included.
        summary: The run's summary.
        table: The manifest's rows of the n slices.
        volume: Number of the volume, shape (n,); volumes follow each other.
        slice_index: Place within the volume, shape (n,).
        position_mm: Place along the volume's normal, shape (n,); NaN where the files give none.
        kept: Shape (n,).
        exemplar: Row of the kept slice that covers each, shape (n,); -1 where none does.
        similarity: To the exemplar, shape (n,); NaN where it was not measured.
        starts: First row of each of the v volumes, and n; shape (v + 1,).
    """

    folder: Path
    manifest: Manifest
    summary: dict[str, Any]
    table: pa.Table
    volume: Integers
    slice_index: Integers
    position_mm: Floats
    kept: Booleans
    exemplar: Integers
    similarity: Floats
    starts: Integers

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.volume)

    @property
    def config(self) -> dict[str, Any]:
        """The reduction's configuration."""
        return self.manifest.config

    @property
    def measure(self) -> Measure | None:
        """What `similarity` is; None where slices were not compared."""
        return MEASURES[self.config["method"]]

    @property
    def threshold(self) -> float | None:
        """The threshold that was used, also where a fraction was asked for."""
        found = self.summary["threshold"]
        return None if found is None else float(found)

    @property
    def volumes(self) -> int:
        """Number of volumes."""
        return len(self.starts) - 1

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
        """Kept slices of all slices of each volume, shape (v,)."""
        fraction: Floats = self.kept_in_volume / self.slices_in_volume
        return fraction

    @cached_property
    def covered(self) -> Integers:
        """How many dropped slices each slice covers, shape (n,)."""
        dropped = ~self.kept & (self.exemplar >= 0)
        return np.bincount(self.exemplar[dropped], minlength=len(self)).astype(np.int64)

    @cached_property
    def relative_position(self) -> Floats:
        """Place in the volume from 0 (first) to 1 (last), shape (n,); NaN in volumes of one slice.

        By position along the normal where all slices of the volume have one, else by index.
        """
        by_index = self._scaled(self.slice_index.astype(np.float64))
        by_position = self._scaled(self.position_mm)
        return np.where(np.isfinite(by_position), by_position, by_index)

    def _scaled(self, values: Floats) -> Floats:
        """Within each volume from its smallest to its largest value; NaN where there is no such range."""
        low = np.minimum.reduceat(values, self.starts[:-1])
        span = np.maximum.reduceat(values, self.starts[:-1]) - low
        span[span == 0] = np.nan
        scaled: Floats = (values - np.repeat(low, self.slices_in_volume)) / np.repeat(span, self.slices_in_volume)
        return scaled

    def labels(self, column: str) -> tuple[list[str], Integers]:
        """A text column as its different values and, for each slice, the number of its own; null is empty."""
        encoded = pc.fill_null(self.table[column], "").combine_chunks().dictionary_encode()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


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
    if not Path(run).exists():
        raise ManifestError(f"{run}: no such folder: expected a run's folder, as 'ctprune reduce --out' makes it")
    manifest = Manifest.load(run)
    folder = manifest_path(run).parent
    summary = load_summary(folder)
    counts = manifest.counts()
    if summary.get("config") != manifest.config or any(
        summary.get(status) != counts[status] for status in ("kept", "dropped")
    ):
        raise ManifestError(
            f"{folder}: {SUMMARY_NAME} is not that of the manifest beside it: run 'ctprune reduce' again"
        )
    if not counts["kept"] + counts["dropped"]:
        raise ManifestError(
            f"{folder}: the run has no slice, so there is nothing to show: 'ctprune info {folder}' says why"
        )
    return _columns(folder, manifest, summary, counts["kept"] + counts["dropped"])


def _columns(folder: Path, manifest: Manifest, summary: dict[str, Any], slices: int) -> RunSlices:
    table = manifest.table.slice(0, slices)

    def integers(name: str) -> Integers:
        column: Integers = pc.fill_null(table[name], -1).to_numpy().astype(np.int64)
        return column

    def floats(name: str) -> Floats:
        column: Floats = table[name].to_numpy().astype(np.float64)
        return column

    volume = integers("volume")
    starts = np.flatnonzero(np.diff(volume, prepend=volume[0] - 1, append=volume[-1] + 1))
    return RunSlices(
        folder=folder,
        manifest=manifest,
        summary=summary,
        table=table,
        volume=volume,
        slice_index=integers("slice_index"),
        position_mm=floats("position_mm"),
        kept=pc.equal(table["status"], "kept").to_numpy(),
        exemplar=integers("exemplar"),
        similarity=floats("similarity"),
        starts=starts.astype(np.int64),
    )
