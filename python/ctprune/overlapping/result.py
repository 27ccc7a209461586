"""The overlap of two sets: numbers, pairs of volumes, and a row for each found slice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ctprune import _core
from ctprune.duplicates.pairs import Pair
from ctprune.files.atomic import replace_file

TABLE_NAME, PAGE_NAME = "overlap.parquet", "overlap.html"

#: Columns of the table for either slice, by the manifest's columns.
WHERE = ("volume", "slice_index", "path", "frame")


@dataclass(frozen=True)
class Part:
    """Slices of B of one split and class, and how many of them are in A."""

    split: str
    label: str
    slices: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """The part of B that is in A.

    Attributes:
        among: Number of slices of A.
        slices: Number of slices of B.
        found: How many of these have a near-duplicate in A; with `min_correlation`, only those that correlate, and
            those of `unread`.
        equal: How many of these have an equal fingerprint in A, not turned.
        one_value: Number of constant slices of B, which are ignored.
        threshold: Largest Hamming distance of near-duplicates, in bits.
        parts: The numbers by split and class, if B names these.
        volumes: Number of volumes of B with the three or more slices that a comparison needs.
        volumes_found: How many of these show the anatomy of a volume of A.
        pairs: Volumes of A and B that show the same anatomy, each by its number in its own set.
        rows: Rows of the found slices in B's manifest, ascending.
        unread: With `min_correlation`, how many of the found slices could not be compared, because a file is gone
            or cannot be read; they count as found.
        failed_of_a: Number of files of A that could not be read, so that nothing of B is found in them.
        failed_of_b: Number of files of B that could not be read, and were not looked for.
    """

    among: int
    slices: int
    found: int
    equal: int
    one_value: int
    threshold: int
    parts: list[Part]
    volumes: int
    volumes_found: int
    pairs: list[Pair]
    rows: list[dict[str, Any]] = field(repr=False)
    unread: int = 0
    failed_of_a: int = 0
    failed_of_b: int = 0

    @property
    def share(self) -> float:
        """The larger of the shares of B's slices and volumes that are in A, 0 to 1."""
        return max(self.found / self.slices, self.volumes_found / self.volumes if self.volumes else 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        names = (
            "among",
            "slices",
            "found",
            "equal",
            "one_value",
            "unread",
            "failed_of_a",
            "failed_of_b",
            "threshold",
            "volumes",
            "volumes_found",
        )
        return {
            **{name: getattr(self, name) for name in names},
            "parts": [vars(part) for part in self.parts],
            "pairs": [pair.to_dict() for pair in self.pairs],
            "rows": self.rows,
        }

    def write(self, file: Path) -> None:
        """Write the found slices as a Parquet table, one row each.

        Raises:
            OutputError: The file cannot be written.
        """
        columns = {name: _column(name, [row[name] for row in self.rows]) for name in _names()}
        with replace_file(file) as beside:
            _core.Rows.from_columns(columns).write(str(beside))


def _names() -> list[str]:
    of_b, of_a = ([f"{side}_{name}" for name in WHERE] for side in "ba")
    return [*of_b, "split", "label", *of_a, "bits", "turn", "correlation"]


def _column(name: str, values: list[Any]) -> Any:
    if name in ("split", "label", "turn") or name.endswith("_path"):
        return values
    if name == "correlation":
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(values, np.int64)
