"""Input of three channels: a slice between two others, at a distance before and after it along the scan."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctprune.options.neighbors import TOLERANCE_MM

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Before, the slice itself, after.
CHANNELS = 3


def channel_rows(volume: Integers, position_mm: Floats, distance_mm: float) -> Integers:
    """For each slice, the slices that its three channels show.

    Of the slice and those before it, the first channel shows the one whose position is nearest to `distance_mm`
    before the slice; if two are equally near, to 1 µm, the one closer to the slice. The last channel mirrors this.
    At the ends of a volume, in its gaps and without a position, a channel thus repeats the slice itself.

    Args:
        volume: Number of each slice's volume, shape (n,).
        position_mm: Position of each slice along its volume, shape (n,); NaN if not known.
        distance_mm: The distance, in mm.

    Returns:
        Indices of slices, int64 of shape (n, 3).

    >>> channel_rows(np.zeros(4, np.int64), np.array([0.0, 5, 10, 50]), 5.0).tolist()
    [[0, 0, 1], [0, 1, 2], [1, 2, 2], [3, 3, 3]]
    """
    found = np.repeat(np.arange(len(volume), dtype=np.int64)[:, None], CHANNELS, axis=1)
    # In each volume along the scan; slices without a position come last.
    order = np.lexsort((position_mm, volume))
    starts = np.flatnonzero(np.diff(volume[order], prepend=-1))
    for start, end in zip(starts, np.append(starts[1:], len(volume)), strict=True):
        own = order[start:end]
        own = own[np.isfinite(position_mm[own])]
        along = position_mm[own]
        found[own, 0] = own[_before(along, distance_mm)]
        found[own[::-1], 2] = own[::-1][_before(-along[::-1], distance_mm)]
    return found


def _before(along: Floats, distance: float) -> Integers:
    """For each of ascending positions the index, up to its own, of the one nearest to `distance` before it."""
    target = along - distance
    later = np.searchsorted(along, target, side="left")
    earlier = np.maximum(later - 1, 0)
    nearer = target - along[earlier] < along[later] - target - TOLERANCE_MM
    return np.where(nearer, earlier, later).astype(np.int64)
