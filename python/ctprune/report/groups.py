"""Groups: a kept slice with the slices that it covers. Some of them are shown as pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.report.run_slices import Integers, RunSlices
from ctprune.report.volume_table import spread

#: Most volumes whose groups are shown, so that each has room for several groups.
_MOST_VOLUMES = 12

#: Most covered slices of a group that are shown.
_MOST_COVERED = 12


@dataclass(frozen=True, eq=False)
class Group:
    """One group.

    Attributes:
        exemplar: Row of the kept slice.
        covered: How many slices it covers.
        shown: Rows of the covered slices that are shown, in order: evenly spread, and the least similar one.
        largest: Similarity or distance of the least similar one; NaN if nothing was measured.
    """

    exemplar: int
    covered: int
    shown: list[int]
    largest: float


def choose_groups(slices: RunSlices, pictures: int) -> list[Group]:
    """As many groups as `pictures` allow, in order: the largest ones, from volumes of every kept fraction."""
    order = np.flatnonzero(~slices.kept & (slices.exemplar >= 0))
    by_exemplar = order[np.argsort(slices.exemplar[order], kind="stable")]
    ends = np.cumsum(slices.covered)
    chosen: list[Group] = []
    left = pictures
    for exemplar in _turns(slices):
        group = _group(slices, exemplar, by_exemplar[ends[exemplar] - slices.covered[exemplar] : ends[exemplar]])
        left -= 1 + len(group.shown)
        if left < 0:
            break
        chosen.append(group)
    return sorted(chosen, key=lambda group: group.exemplar)


def _turns(slices: RunSlices) -> list[int]:
    """Rows of exemplars: the largest group of each chosen volume, then the second largest of each, and so on."""
    covering = np.add.reduceat(np.minimum(slices.covered, 1), slices.starts[:-1])
    # A volume in which no slice covers another has nothing to show, unless all volumes are like that.
    candidates = np.flatnonzero(covering) if covering.any() else np.arange(slices.volumes)
    by_fraction = candidates[np.argsort(slices.kept_fraction[candidates], kind="stable")]
    volumes = by_fraction[spread(len(by_fraction), _MOST_VOLUMES)]
    turns: list[tuple[int, int, int]] = []
    for volume in volumes.tolist():
        first, stop = slices.starts[volume : volume + 2].tolist()
        kept = first + np.flatnonzero(slices.kept[first:stop])
        by_size = kept[np.argsort(-slices.covered[kept], kind="stable")]
        turns += [(turn, volume, row) for turn, row in enumerate(by_size.tolist())]
    return [row for _, _, row in sorted(turns)]


def _group(slices: RunSlices, exemplar: int, covered: Integers) -> Group:
    similarity = slices.similarity[covered]
    least = None
    if np.isfinite(similarity).any():
        closer = slices.measure is not None and slices.measure.larger_is_closer
        least = int(np.nanargmin(similarity) if closer else np.nanargmax(similarity))
    indices = spread(len(covered), _MOST_COVERED)
    if least is not None and least not in indices:
        # It replaces its neighbor, so that the number of slices stays the same.
        indices[np.abs(indices - least).argmin()] = least
    return Group(
        exemplar=exemplar,
        covered=len(covered),
        shown=covered[np.sort(indices)].tolist(),
        largest=float("nan") if least is None else float(similarity[least]),
    )
