"""How far each kept slice is from the kept ones before it: what a larger threshold would have dropped next."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from ctprune.fingerprint import hamming
from ctprune.reporting.run_slices import Integers, RunSlices

#: Kept slices that are compared with all before them at a time.
_BLOCK = 1024

#: Comparisons beyond this are not made: a report should not take minutes.
MOST_PAIRS = 2 * 10**10


class Nearest(NamedTuple):
    """For kept slices that have one before them: the nearest of those, all of shape (k,).

    Attributes:
        rows: Rows of the slices.
        partners: Rows of the nearest kept slices before them; the first one of equals.
        distance: Hamming distance, in bits.
    """

    rows: Integers
    partners: Integers
    distance: Integers


def nearest_kept_before(slices: RunSlices) -> Nearest | None:
    """Compare each kept slice with all kept before it, in its volume or in the dataset, as the run's scope says.

    Exact. None where the method does not go by fingerprints or there are more than `MOST_PAIRS` pairs.
    """
    if slices.config["method"] != "hash":
        return None
    kept = np.flatnonzero(slices.kept)
    if slices.config["scope"] == "dataset":
        ends = [0, len(kept)]
    else:
        ends = [0, *np.cumsum(slices.kept_in_volume).tolist()]
    if sum((stop - start) ** 2 for start, stop in itertools.pairwise(ends)) / 2 > MOST_PAIRS:
        return None
    fingerprints = _fingerprints(slices, kept)
    partner = np.full(len(kept), -1, np.int64)
    distance = np.zeros(len(kept), np.int64)
    for start, stop in itertools.pairwise(ends):
        for first in range(start + 1, stop, _BLOCK):
            last = min(first + _BLOCK, stop)
            found = hamming(fingerprints[first:last], fingerprints[start:last], all_to_all=True)
            # A slice is compared with those before it only: the rest is out of reach.
            rows = np.arange(first - start, last - start)[:, np.newaxis]
            found[np.arange(last - start) >= rows] = np.iinfo(found.dtype).max
            partner[first:last] = start + found.argmin(axis=1)
            distance[first:last] = found.min(axis=1)
    has_one = partner >= 0
    return Nearest(kept[has_one], kept[partner[has_one]], distance[has_one])


def _fingerprints(slices: RunSlices, rows: Integers) -> np.ndarray:
    column = slices.table["fingerprint"].combine_chunks()
    width = column.type.byte_width
    whole = np.frombuffer(column.buffers()[1], np.uint8, len(column) * width, column.offset * width)
    return whole.reshape(-1, width)[rows]
