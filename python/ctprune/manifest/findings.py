"""Findings for the user, collected from a manifest's rows as they pass, so memory stays small."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ctprune import _core
from ctprune.environment.lazy import numpy as np
from ctprune.manifest.ruled import COLUMNS as RULED_COLUMNS
from ctprune.manifest.ruled import RuledCounts

if TYPE_CHECKING:
    import numpy.typing as npt

#: Most files that are named as examples.
_EXAMPLES = 3

#: Most files of no known format that are remembered, to see what they are instead.
_UNKNOWN = 100

#: The code of such files in the manifest.
_NO_FORMAT = "S-NOT-AN-IMAGE"

#: Largest label: that of a signed byte. A CT volume has negative or larger values.
_MOST_LABEL = 127


_COLUMNS = ["source", "path", "volume", *RULED_COLUMNS, "status", "code", "reason", "reader"]


@dataclass(frozen=True)
class LabelVolume:
    """A NIfTI volume whose values are those of a label mask.

    Attributes:
        number: Number of the volume, as in the manifest.
        path: The file, as in the manifest.
        high: Largest value; the smallest is at least 0.
    """

    number: int
    path: str
    high: int


@dataclass
class Findings:
    """Files and volumes to name.

    Attributes:
        failed: Paths of the first files that could not be read, with the code and why.
        unknown: Source and path of the first files of no known format.
        ruled: Slices whose range is set by metal or padding.
    """

    failed: list[tuple[str, ...]] = field(default_factory=list)
    unknown: list[tuple[str, ...]] = field(default_factory=list)
    ruled: RuledCounts = field(default_factory=RuledCounts)
    _nifti: dict[tuple[int, str], tuple[bool, float]] = field(default_factory=dict)

    def add(self, rows: _core.Rows) -> None:
        """Add these rows of the manifest."""
        if not len(rows):
            return
        rows = rows.select(_COLUMNS)
        if len(self.failed) < _EXAMPLES:
            self.failed += _some(rows, _is(rows, "status", "failed"), ["path", "code", "reason"], _EXAMPLES)
        if len(self.unknown) < _UNKNOWN:
            self.unknown += _some(rows, _is(rows, "code", _NO_FORMAT), ["source", "path"], _UNKNOWN)
        self._add_nifti(rows)
        self.ruled.add(rows.filter(rows["volume"] >= 0))

    def label_volumes(self) -> list[LabelVolume]:
        """NIfTI volumes whose values are only a few small whole numbers, as in masks but not in CT."""
        return [
            LabelVolume(number, path, int(high))
            for (number, path), (is_mask, high) in sorted(self._nifti.items())
            if is_mask
        ]

    def has_images_in(self, folder: PurePosixPath) -> bool:
        """Whether NIfTI volumes that are no masks lie in this folder."""
        volumes = self._nifti.items()
        return any(not is_mask and PurePosixPath(path).parent == folder for (_, path), (is_mask, _) in volumes)

    def _add_nifti(self, rows: _core.Rows) -> None:
        slices = rows.filter(_is(rows, "reader", "nifti") & (rows["volume"] >= 0))
        if not len(slices):
            return
        low, high = slices["min_hu"], slices["max_hu"]
        is_mask = (low == np.floor(low)) & (high == np.floor(high)) & (low >= 0) & (high <= _MOST_LABEL)
        # The slices of a volume are consecutive.
        volume = slices["volume"]
        firsts = np.flatnonzero(np.diff(volume, prepend=volume[0] - 1))
        paths = slices.take(firsts)["path"]
        all_mask, highest = np.logical_and.reduceat(is_mask, firsts), np.maximum.reduceat(high, firsts)
        found = zip(volume[firsts].tolist(), paths, all_mask.tolist(), highest.tolist(), strict=True)
        for number, path, here_mask, here_high in found:
            # The rows of a volume may come in several batches.
            before_mask, before_high = self._nifti.get((number, path), (True, 0.0))
            self._nifti[number, path] = (before_mask and here_mask, max(before_high, here_high))


def _is(rows: _core.Rows, column: str, value: str) -> npt.NDArray[np.bool_]:
    names, of = rows.labels(column)
    return np.array([name == value for name in names], np.bool_)[of]


def _some(rows: _core.Rows, chosen: npt.NDArray[np.bool_], columns: list[str], most: int) -> list[tuple[str, ...]]:
    some = rows.take(np.flatnonzero(chosen)[:most])
    return list(zip(*(some[column] for column in columns), strict=True))
