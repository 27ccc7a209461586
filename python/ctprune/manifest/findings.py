"""What a user should hear about, picked from a manifest's rows as they go by: memory stays small."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: Files that are named as examples.
_EXAMPLES = 3

#: Files of no known format that are remembered, to see what they are instead.
_UNKNOWN = 100

#: The reason that such files have in the manifest.
_NO_FORMAT = "not DICOM, NIfTI, PNG, JPEG or TIFF"

#: Largest label: that of a signed byte. A volume of CT has negative values, or larger ones.
_MOST_LABEL = 127


_COLUMNS = ["source", "path", "volume", "min_hu", "max_hu", "status", "reason", "reader"]


@dataclass(frozen=True)
class LabelVolume:
    """A NIfTI volume whose values are those of a label mask.

    Attributes:
        number: Of the volume, as in the manifest.
        path: The file, as in the manifest.
        high: Largest value; the smallest is 0 or more.
    """

    number: int
    path: str
    high: int


@dataclass
class Findings:
    """Files and volumes to be named.

    Attributes:
        failed: Paths of the first files that could not be read, and why.
        unknown: Source and path of the first files of no known format.
    """

    failed: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    _nifti: dict[tuple[int, str], tuple[bool, float]] = field(default_factory=dict)

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Look at these rows of the manifest."""
        rows = rows.select(_COLUMNS)
        if len(self.failed) < _EXAMPLES:
            self.failed += _pairs(rows, pc.equal(rows["status"], "failed"), "path", "reason", _EXAMPLES)
        if len(self.unknown) < _UNKNOWN:
            self.unknown += _pairs(rows, pc.equal(rows["reason"], _NO_FORMAT), "source", "path", _UNKNOWN)
        self._add_nifti(rows)

    def label_volumes(self) -> list[LabelVolume]:
        """NIfTI volumes that hold no more than a few small whole numbers, as masks do and no CT."""
        return [
            LabelVolume(number, path, int(high))
            for (number, path), (is_mask, high) in sorted(self._nifti.items())
            if is_mask
        ]

    def _add_nifti(self, rows: pa.RecordBatch | pa.Table) -> None:
        is_slice = pc.and_kleene(pc.equal(rows["reader"], "nifti"), pc.is_valid(rows["volume"]))
        slices = rows.filter(is_slice)
        if not slices.num_rows:
            return
        low, high = slices["min_hu"], slices["max_hu"]
        whole = pc.and_(pc.equal(low, pc.floor(low)), pc.equal(high, pc.floor(high)))
        narrow = pc.and_(pc.greater_equal(low, 0.0), pc.less_equal(high, float(_MOST_LABEL)))
        columns = {
            "volume": slices["volume"],
            "path": slices["path"],
            "is_mask": pc.and_(whole, narrow),
            "high": high,
        }
        found = pa.table(columns).group_by(["volume", "path"]).aggregate([("is_mask", "all"), ("high", "max")])
        for line in found.to_pylist():
            # The rows of a volume may come in several batches.
            volume = (line["volume"], line["path"])
            is_mask, high = self._nifti.get(volume, (True, 0.0))
            self._nifti[volume] = (is_mask and line["is_mask_all"], max(high, line["high_max"]))


def _pairs(
    rows: pa.RecordBatch | pa.Table, chosen: Any, first: str, second: str, most: int
) -> list[tuple[str, str]]:
    lines = rows.filter(chosen).slice(0, most).select([first, second]).to_pylist()
    return [(line[first], line[second]) for line in lines]
