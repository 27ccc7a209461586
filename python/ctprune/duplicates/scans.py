"""Volumes for which another stands: reconstructions and copies of one scan that show no more than it does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ctprune.duplicates.duplicates import with_correlation
from ctprune.duplicates.groups import groups_of
from ctprune.duplicates.pairs import WITHIN, Pair, find_pairs
from ctprune.errors import ManifestError
from ctprune.manifest.slices import Slices

#: Reconstructions of one acquisition lie at the same place, apart from rounding, in mm.
_SHIFT_MM = 0.5

#: From this correlation on, pictures of different studies are copies, not another patient of similar build.
_COPY = 0.99


@dataclass(frozen=True)
class StandIn:
    """A volume that is not needed: `representative` shows the same; `why` says why that one was chosen."""

    volume: int
    representative: int
    why: str


def stand_ins(slices: Slices, *, prefer: str, threads: int = 0) -> list[StandIn]:
    """The volumes for which others stand, by ascending number.

    A volume is left out only for a representative that was compared with it directly and covers 95 % of it;
    neighbors of neighbors stay.
    """
    # Pixels are read only for pairs across studies: within one study, positions say more.
    pairs = find_pairs(slices, threads=threads)
    within = [pair for pair in pairs if pair.same_study and _is_one_acquisition(slices, pair)]
    across = [pair for pair in pairs if not pair.same_study]
    with suppress(ManifestError):
        # Raised if pseudonyms cannot be resolved: then only equal fingerprints count.
        across = with_correlation(slices, across, threads=threads)
    same = [*within, *(pair for pair in across if _is_copy(pair))]
    return sorted(_greedy(slices, same, prefer), key=lambda one: one.volume)


def _greedy(slices: Slices, pairs: list[Pair], prefer: str) -> list[StandIn]:
    found: list[StandIn] = []
    while pairs:
        done: set[int] = set()
        for group in groups_of(slices, pairs, prefer=prefer):
            covered = {_other(pair, group.representative) for pair in pairs if _covers(pair, group.representative)}
            found += [StandIn(volume, group.representative, group.why) for volume in covered]
            done |= covered | {group.representative}
        pairs = [pair for pair in pairs if not done & {pair.a, pair.b}]
    return found


def _covers(pair: Pair, representative: int) -> bool:
    """Whether the other volume of the pair lies within the representative."""
    if representative not in (pair.a, pair.b):
        return False
    return (pair.of_b if representative == pair.a else pair.of_a) >= WITHIN


def _other(pair: Pair, volume: int) -> int:
    return pair.b if volume == pair.a else pair.a


def _is_one_acquisition(slices: Slices, pair: Pair) -> bool:
    """Whether positions and Acquisition Number agree: contrast phases, too, lie at the same place."""
    if pair.unit != "mm" or pair.scale != 1 or pair.turn or abs(pair.shift) > _SHIFT_MM:
        return False
    rows = np.array([slices.starts[pair.a], slices.starts[pair.b]], np.int64)
    a, b = slices.take(rows, ["acquisition_number", "frame_of_reference_uid"])
    return all(a[name] == b[name] or a[name] in (None, "") or b[name] in (None, "") for name in a)


def _is_copy(pair: Pair) -> bool:
    return pair.relation == "copy" or (pair.correlation is not None and pair.correlation >= _COPY)
