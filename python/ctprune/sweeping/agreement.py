"""How far methods agree on what to keep when they keep the same share of the slices."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.sweeping.slices import SweptSlices

#: Stands for what a random sample of the same size is expected to share.
RANDOM = "random"
EVERY_N = "every-n"

Sets = dict[str, npt.NDArray[np.bool_]]


def agreements(keep: float, sets: Sets, slices: SweptSlices) -> list[dict[str, Any]]:
    """Jaccard indices of the kept sets of methods near the fraction `keep`: pairs, then each with the baselines.

    The baseline `every-n` is the one of all n that comes nearest to the fraction.
    """
    pairs = [_pair(keep, a, b, sets[a], sets[b]) for a, b in combinations(sets, 2)]
    spaced = every_nth(slices, keep)
    for method, kept in sets.items():
        pairs.append(_pair(keep, method, EVERY_N, kept, spaced))
        count = int(kept.sum())
        chance = chance_agreement(count, len(kept))
        pairs.append(_row(keep, method, RANDOM, count, count, chance))
    return pairs


def jaccard(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Slices that both keep over slices that one of them keeps; 1 when neither keeps any.

    >>> jaccard(np.array([True, True, False]), np.array([False, True, True]))
    0.3333333333333333
    """
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def chance_agreement(kept: int, slices: int) -> float:
    """The Jaccard index with a random sample of the same size that shares as many slices as is expected of it.

    Of `kept` slices a sample of as many is expected to hit `kept² / slices`.

    >>> chance_agreement(10, 100)
    0.05263157894736842
    """
    return kept / (2 * slices - kept) if slices else 1.0


def every_nth(slices: SweptSlices, keep: float) -> npt.NDArray[np.bool_]:
    """Bool of shape (n,): the kept slices of the `every-n` that comes nearest to a fraction, ties to small n."""
    starts = np.array(slices.group_starts)
    lengths = np.diff(starts)
    index = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    wanted = keep * starts[-1]

    def kept(n: int) -> int:
        return int((-(-lengths // n)).sum())

    low, high = 1, int(lengths.max())
    # The number kept falls as n grows: the best n is the first that keeps no more than wanted, or the one before.
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if kept(middle) <= wanted else (middle + 1, high)
    first = max(low - 1, 1)
    best = first + (_core.nearest_kept([kept(n) for n in range(first, low + 1)], wanted) or 0)
    spaced: npt.NDArray[np.bool_] = index % best == 0
    return spaced


def _pair(
    keep: float, a: str, b: str, kept_a: npt.NDArray[np.bool_], kept_b: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    return _row(keep, a, b, int(kept_a.sum()), int(kept_b.sum()), jaccard(kept_a, kept_b))


def _row(keep: float, a: str, b: str, kept_a: int, kept_b: int, index: float) -> dict[str, Any]:
    return {"keep": keep, "a": a, "b": b, "kept_a": kept_a, "kept_b": kept_b, "jaccard": index}
