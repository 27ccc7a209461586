"""The slices of one series as arrays, and what can be found about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.checking.codes import CHECK_CODES, SEVERITIES

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: The columns of a manifest that checks look at.
COLUMNS = (
    "path",
    "reader",
    "series_instance_uid",
    "study_instance_uid",
    "sop_instance_uid",
    "frame",
    "volume",
    "slice_index",
    "position_mm",
    "rows",
    "columns",
    "pixel_spacing_mm",
    "slice_thickness_mm",
    "image_position_patient",
    "image_orientation_patient",
    "instance_number",
    "convolution_kernel",
    "image_type",
    "frame_of_reference_uid",
    "bits_stored",
    "lossy_image_compression",
    "burned_in_annotation",
    "patient_check",
    "modality",
    "min_hu",
    "max_hu",
    "hu_shares",
    "fingerprint",
    "status",
    "code",
    "source",
    "file_size",
    "file_version",
)

#: Ranges of slices that are named; more are counted.
_NAMED = 4


@dataclass(frozen=True)
class Finding:
    """Something unusual about a series.

    Attributes:
        code: Stable code; `ctprune.checking.codes.CHECK_CODES` says what it means and what to do.
        count: How often, in slices unless `where` says otherwise.
        where: Slices by number and position, and values; empty where all slices are meant.
        rows: The slices concerned, as rows of the manifest.
    """

    code: str
    count: int
    where: str = ""
    rows: Integers = field(default_factory=lambda: np.empty(0, np.int64), repr=False, compare=False)

    @property
    def severity(self) -> str:
        """`error`, `warning` or `note`."""
        return CHECK_CODES[self.code].severity

    @property
    def rank(self) -> int:
        """0 for the worst severity."""
        return SEVERITIES.index(self.severity)


class Columns:
    """Columns of all slices, as arrays and labels; made once for all series."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            value = self._rows[name]
            self._found[name] = np.array(value, object) if isinstance(value, list) else value
        return self._found[name]

    def take(self, rows: Integers, names: Sequence[str]) -> list[dict[str, Any]]:
        """Columns of some slices, a dict for each."""
        found: list[dict[str, Any]] = self._rows.select(list(names)).take(rows).to_dicts()
        return found

    @cached_property
    def normal(self) -> Floats:
        """Unit normals of the slices, shape (n, 3); NaN where there is none."""
        orientation = np.asarray(self["image_orientation_patient"], float).reshape(-1, 6)
        normal = np.cross(orientation[:, :3], orientation[:, 3:])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        return np.where(length > 1e-6, normal / np.where(length > 1e-6, length, 1), np.nan)

    @cached_property
    def plane(self) -> Integers:
        """0 sagittal, 1 coronal, 2 axial, -1 unknown: by the normal's largest component, the last of equals."""
        size = np.abs(self.normal)
        known = ~np.isnan(size).any(axis=1)
        return np.where(known, 2 - np.argmax(np.nan_to_num(size)[:, ::-1], axis=1), -1)


class Series:
    """The slices of one series in the manifest's order: volume by volume, each along its normal.

    Args:
        columns: Of all slices.
        rows: The slices of this series, as rows of the manifest.
        localizers: Localizers in the same series.
    """

    def __init__(self, columns: Columns, rows: Integers, localizers: int = 0) -> None:
        self.columns, self.rows, self.localizers = columns, rows, localizers

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Any:
        return self.columns[name][self.rows]

    def lines(self, at: Integers, names: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of slices by number, a dict for each."""
        return self.columns.take(self.rows[at], names)

    @property
    def normal(self) -> Floats:
        """Unit normals, shape (n, 3)."""
        return self.columns.normal[self.rows]

    @property
    def plane(self) -> Integers:
        """Planes as numbers of `PLANES`, -1 unknown."""
        return self.columns.plane[self.rows]

    @property
    def is_dicom(self) -> bool:
        """Whether it is of DICOM files."""
        return self["reader"][0] in ("dicom", "pydicom")

    def volumes(self) -> Iterator[Series]:
        """The series' volumes, each as a series."""
        volume = self["volume"]
        for start, stop in _runs(volume):
            yield Series(self.columns, self.rows[start:stop])

    def finding(self, code: str, chosen: npt.ArrayLike | None = None, note: str = "") -> Finding:
        """A finding about the slices with these indices or this mask, or about all."""
        at = np.arange(len(self)) if chosen is None else np.asarray(chosen)
        at = np.flatnonzero(at) if at.dtype == np.bool_ else at
        where = "" if len(at) == len(self) else self.where(at)
        return Finding(code, len(at), "; ".join(filter(None, [note, where])), self.rows[at])

    def where(self, at: Integers) -> str:
        """Slices by number and, where it is known, position; of several volumes, with the volume's number."""
        numbers, positions, volumes = self["slice_index"][at], self["position_mm"][at], self["volume"][at]
        several = len(np.unique(self["volume"])) > 1
        # Two neighbors in the list are one range where neither volume nor the distance of numbers changes.
        parts = volumes.astype(np.int64) * (1 << 32) + numbers - np.arange(len(at))
        named = []
        runs = _runs(parts)
        for first, stop in runs[:_NAMED]:
            last = stop - 1
            one = first == last
            text = f"slice {numbers[first]}" if one else f"slices {numbers[first]}–{numbers[last]}"
            if several:
                text += f" of volume {volumes[first]}"
            if not np.isnan(positions[first]):
                text += f" ({positions[first]:.1f}" + ("" if one else f" to {positions[last]:.1f}") + " mm)"
            named.append(text)
        more = [f"{len(runs) - _NAMED} more"] if len(runs) > _NAMED else []
        return ", ".join([*named, *more]).replace("-", "−")


def _runs(values: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Start and stop of each run of equal values.

    >>> _runs(np.array([4, 4, 7]))
    [(0, 2), (2, 3)]
    """
    if not len(values):
        return []
    starts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(values)], strict=True))


def listed(values: Sequence[Any]) -> str:
    """A few different values in words."""
    found = [str(value) for value in values]
    return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
