"""The volumes of a reduction, one line each, and the most and least redundant ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.report.losses import scanner_labels, thickness_labels
from ctprune.report.run_slices import Integers, RunSlices

#: Most volumes in the table; if there are more, these are evenly spread by kept fraction.
MOST_VOLUMES = 1500

#: Columns of the strip that shows the places of a volume's kept slices.
STRIP_COLUMNS = 100

#: Volumes with fewer slices say little about redundancy.
_FEW_SLICES = 5


@dataclass(frozen=True)
class VolumeLine:
    """One volume: its number, slices, kept slices, their places (an SVG path), scanner, kernel and thickness."""

    number: int
    slices: int
    kept: int
    strip: str
    scanner: str
    kernel: str
    thickness: str

    @property
    def kept_fraction(self) -> float:
        """Kept fraction, 0 to 1."""
        return self.kept / self.slices


def volume_lines(slices: RunSlices, volumes: Integers) -> list[VolumeLine]:
    """Describe these volumes, given by their index in the reduction."""
    scanners, scanner = scanner_labels(slices)
    kernels, kernel = slices.labels("convolution_kernel")
    thicknesses, thickness = thickness_labels(slices)
    lines = []
    for volume in volumes.tolist():
        first, stop = slices.starts[volume : volume + 2].tolist()
        lines.append(
            VolumeLine(
                number=int(slices.volume[first]),
                slices=stop - first,
                kept=int(slices.kept_in_volume[volume]),
                strip=_strip(slices, first, stop),
                scanner=scanners[scanner[first]],
                kernel=kernels[kernel[first]],
                thickness=thicknesses[thickness[first]],
            )
        )
    return lines


def listed_volumes(slices: RunSlices) -> Integers:
    """The volumes in the table, in order: all, or a choice that represents every kept fraction."""
    if slices.volumes <= MOST_VOLUMES:
        return np.arange(slices.volumes)
    by_fraction = np.argsort(slices.kept_fraction, kind="stable")
    return np.sort(by_fraction[spread(slices.volumes, MOST_VOLUMES)])


def extreme_volumes(slices: RunSlices, most: int) -> tuple[Integers, Integers]:
    """The volumes with the lowest and those with the highest kept fraction; no volume is in both.

    Among equals, larger volumes come first. Volumes of a few slices are left out if there are larger ones. A
    single volume is among the first.
    """
    if slices.volumes == 1:
        return np.array([0]), np.array([], np.int64)
    for fewest in (_FEW_SLICES, 2):
        candidates = np.flatnonzero(slices.slices_in_volume >= fewest)
        if len(candidates) > 1:
            break
    fraction, size = slices.kept_fraction[candidates], slices.slices_in_volume[candidates]
    half = min(most, len(candidates) // 2)
    lowest = candidates[np.lexsort((candidates, -size, fraction))][:half]
    rest = ~np.isin(candidates, lowest)
    candidates, fraction, size = candidates[rest], fraction[rest], size[rest]
    highest = candidates[np.lexsort((candidates, -size, -fraction))][:half]
    return lowest, highest


def spread(count: int, most: int) -> Integers:
    """A limited number of indices from 0 to count - 1, evenly spread, including the first and last.

    >>> spread(10, 4).tolist(), spread(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if count <= most:
        return np.arange(count)
    return np.round(np.linspace(0, count - 1, most)).astype(np.int64)


def _strip(slices: RunSlices, first: int, stop: int) -> str:
    """The kept slices as vertical strokes of an SVG path, 0 to `STRIP_COLUMNS` wide."""
    position = np.nan_to_num(slices.relative_position[first:stop][slices.kept[first:stop]], nan=0.5)
    columns = np.unique(np.minimum((position * STRIP_COLUMNS).astype(np.int64), STRIP_COLUMNS - 1))
    return "".join(f"M{column} 0v9" for column in columns.tolist())
