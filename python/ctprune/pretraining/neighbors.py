"""Slices near each other along a scan: views of a slice may be made from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctprune.options.neighbors import TOLERANCE_MM

Integers = npt.NDArray[np.int64]


class Neighbors:
    """For each of n slices, the nearby slices of its volume, itself included.

    A slice without a position has no neighbor but itself.

    Args:
        volume: Number of each slice's volume, int64 of shape (n,).
        position_mm: Position of each slice along its volume, float64 of shape (n,); NaN if not known.
        reach_mm: Largest distance along the volume, in mm. Positions are compared to 1 µm.

    >>> neighbors = Neighbors(np.array([0, 0, 0, 1]), np.array([0.0, 5, 20, 5]), 5.0)
    >>> neighbors.counts.tolist()
    [2, 2, 1, 1]
    >>> neighbors.choose(np.array([0, 0, 2, 3]), np.array([6, 7, 8, 9], np.uint64)).tolist()
    [0, 1, 2, 3]
    """

    def __init__(self, volume: Integers, position_mm: npt.NDArray[np.float64], reach_mm: float) -> None:
        reach = reach_mm + TOLERANCE_MM
        # In each volume along the scan; slices without a position come last.
        self._order = np.lexsort((position_mm, volume))
        places = np.arange(len(volume), dtype=np.int64)
        first, counts = places.copy(), np.ones_like(places)
        starts = np.flatnonzero(np.diff(volume[self._order], prepend=-1))
        for start, end in zip(starts, np.append(starts[1:], len(volume)), strict=True):
            along = position_mm[self._order[start:end]]
            along = along[np.isfinite(along)]
            until = start + len(along)
            low = np.searchsorted(along, along - reach, side="left")
            first[start:until] = start + low
            counts[start:until] = np.searchsorted(along, along + reach, side="right") - low
        self._first, self._counts = np.empty_like(places), np.empty_like(places)
        self._first[self._order], self._counts[self._order] = first, counts

    @property
    def counts(self) -> Integers:
        """Number of neighbors of each slice, itself included, int64 of shape (n,)."""
        return self._counts

    def choose(self, slices: Integers, lots: npt.NDArray[np.uint64]) -> Integers:
        """One neighbor for each of the given slices, all with the same probability.

        Args:
            slices: Indices of the slices, int64 of shape (m,).
            lots: A random number of 64 bits for each, uint64 of shape (m,).

        Returns:
            Index of the neighbor, int64 of shape (m,).
        """
        steps = (lots % self._counts[slices].astype(np.uint64)).astype(np.int64)
        chosen: Integers = self._order[self._first[slices] + steps]
        return chosen
