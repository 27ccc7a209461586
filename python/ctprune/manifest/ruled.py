"""Slices whose range of values is set by metal or padding, which changes the gray of all their pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ctprune import _core
from ctprune.environment.lazy import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

#: From this largest HU on, metal sets the range of a slice: no bone or enamel reaches it, and 12-bit scanners
#: saturate just above, at 3071.
METAL_HU = 3000.0

#: Below this smallest HU, padding sets the range of a slice: air is -1000 and the floor of 12-bit CT is -1024;
#: lower values stand for pixels outside the scan circle.
PADDING_HU = -1024.0

#: An intensity that neither affects: lung, soft tissue and the edge of bone keep their contrast.
STEADY_INTENSITY = "hu:-1000,400"

#: Columns that `ruled_rows` needs.
COLUMNS = ("modality", "min_hu", "max_hu")


@dataclass
class RuledCounts:
    """Number of slices in Hounsfield units, and of those whose range metal or padding sets.

    Attributes:
        slices: Slices in Hounsfield units.
        metal: Slices that reach 3000 HU.
        padding: Slices that go below -1024 HU.
    """

    slices: int = 0
    metal: int = 0
    padding: int = 0

    def add(self, rows: _core.Rows) -> None:
        """Count these rows, which are slices."""
        in_hu, metal, padding = ruled_rows(rows)
        self.slices += int(in_hu.sum())
        self.metal += int(metal.sum())
        self.padding += int(padding.sum())

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


def ruled_rows(
    rows: _core.Rows,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which of n slices are in Hounsfield units, and in which metal or padding sets the range, each of shape (n,).

    CT is in Hounsfield units, and so are files without a modality, such as NIfTI files.
    """
    names, of = rows.labels("modality")
    in_hu = np.array([name in ("CT", "") for name in names], np.bool_)[of]
    return in_hu, in_hu & (rows["max_hu"] >= METAL_HU), in_hu & (rows["min_hu"] < PADDING_HU)
