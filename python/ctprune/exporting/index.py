"""The index of an export: for each slice its file, its row in the manifest, and what a training needs."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType
from typing import Any

#: Columns about a slice; none identifies the patient.
FACTS = (
    "row",
    "volume",
    "slice_index",
    "study",
    "position_mm",
    "rows",
    "columns",
    "row_spacing_mm",
    "column_spacing_mm",
    "slice_thickness_mm",
    "modality",
    "manufacturer",
    "convolution_kernel",
)


def facts_of(row: dict[str, Any]) -> dict[str, Any]:
    """The facts of a row of the manifest, by name; None for unknown ones."""
    row_spacing, column_spacing = row["pixel_spacing_mm"] or (None, None)
    found = row | {"row_spacing_mm": row_spacing, "column_spacing_mm": column_spacing}
    return {name: found[name] for name in FACTS}


class Index:
    """The index while it is written.

    Args:
        file: The new file.
        first: Name of the column of files.
    """

    def __init__(self, file: Path, first: str = "path") -> None:
        self._file = file.open("x", newline="", encoding="utf-8")
        self._lines = csv.writer(self._file, lineterminator="\n")
        self._lines.writerow([first, *FACTS])

    def add(self, path: str, facts: dict[str, Any]) -> None:
        """Write the line of one slice."""
        self._lines.writerow([path, *facts.values()])

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
