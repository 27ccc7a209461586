"""Slices whose range of values is ruled by metal or by padding, which changes the gray of all their pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ctprune import _core
from ctprune.environment.lazy import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

#: Largest HU from which on a slice counts as ruled by metal: no bone or enamel reaches it, and scanners of 12 bits
#: saturate just above, at 3071.
METAL_HU = 3000.0

#: Smallest HU below which a slice counts as ruled by padding: air is -1000 and the floor of 12-bit CT -1024; lower
#: values stand for pixels outside of the scan circle.
PADDING_HU = -1024.0

#: An intensity that neither changes: lung, soft tissue and the edge of bone keep their contrast.
STEADY_INTENSITY = "hu:-1000,400"

#: What `ruled_rows` looks at.
COLUMNS = ("modality", "min_hu", "max_hu")


@dataclass
class RuledCounts:
    """Number of slices in Hounsfield units, and of those that metal or padding rules.

    Attributes:
        slices: Slices in Hounsfield units.
        metal: Those that reach 3000 HU.
        padding: Those that go below -1024 HU.
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
        """The numbers by name."""
        return asdict(self)


def ruled_rows(
    rows: _core.Rows,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Of n slices those in Hounsfield units, and of these those that metal and padding rule, each of shape (n,).

    CT is in Hounsfield units, and so is what says no modality, as NIfTI files.
    """
    names, of = rows.labels("modality")
    in_hu = np.array([name in ("CT", "") for name in names], np.bool_)[of]
    return in_hu, in_hu & (rows["max_hu"] >= METAL_HU), in_hu & (rows["min_hu"] < PADDING_HU)
