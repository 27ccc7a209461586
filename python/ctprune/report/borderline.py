"""The pairs of slices that show how good a threshold is: just similar enough to drop, or just not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ctprune.report.nearest import Nearest
from ctprune.report.run_slices import Floats, Integers, RunSlices


class Pair(NamedTuple):
    """Two slices and their similarity or distance; `earlier` is the kept slice that covers or precedes `row`."""

    row: int
    earlier: int
    value: float


def dropped_pairs(slices: RunSlices, most: int) -> list[Pair]:
    """Dropped slices that are least similar to their exemplars."""
    if slices.measure is None:
        return []
    rows = np.flatnonzero(~slices.kept & (slices.exemplar >= 0) & np.isfinite(slices.similarity))
    values = slices.similarity[rows]
    distance = -values if slices.measure.larger_is_closer else values
    return _spread(slices, rows, slices.exemplar[rows], values, -distance, most)


def kept_pairs(slices: RunSlices, nearest: Nearest | None, most: int) -> list[Pair]:
    """Kept slices that are most similar to a slice kept before them."""
    if nearest is None or slices.measure is None:
        return []
    distance = -nearest.value if slices.measure.larger_is_closer else nearest.value
    return _spread(slices, nearest.rows, nearest.partners, nearest.value, distance, most)


def _spread(
    slices: RunSlices, rows: Integers, earlier: Integers, values: Floats, rank: Floats, most: int
) -> list[Pair]:
    """The pairs of lowest rank; among equal ranks, one of each volume comes before a second one of any."""
    order = np.argsort(rank, kind="stable")
    # Enough pairs to find other volumes, so that a large archive's pairs need not all be sorted again.
    order = order[np.flatnonzero(rank[order] <= rank[order][: most or 1][-1:])] if len(order) else order
    volume = slices.volume[rows[order]]
    by_volume = np.lexsort((np.arange(len(order)), volume, rank[order]))
    turn = np.empty(len(order), np.int64)
    turn[by_volume] = _positions_in_run(np.stack([rank[order][by_volume], volume[by_volume]]))
    chosen = order[np.lexsort((np.arange(len(order)), turn, rank[order]))][:most]
    return [Pair(int(rows[i]), int(earlier[i]), float(values[i])) for i in chosen]


def _positions_in_run(sorted_keys: Floats) -> Integers:
    """Position of each column within its run of equal columns."""
    count = sorted_keys.shape[1]
    is_first = np.ones(count, np.bool_)
    is_first[1:] = (sorted_keys[:, 1:] != sorted_keys[:, :-1]).any(axis=0)
    index = np.arange(count)
    positions: Integers = index - np.maximum.accumulate(np.where(is_first, index, 0))
    return positions
