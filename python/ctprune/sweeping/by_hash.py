"""Sweep of the method `hash`: the fingerprints stand in the manifest, no pixel is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctprune.selection.exemplars import select_exemplars
from ctprune.sweeping.method import KeptSets, SweptMethod, Ticks
from ctprune.sweeping.slices import SweptSlices


class HashSweep(SweptMethod):
    """Hamming distances of fingerprints."""

    name = "hash"
    measure = "largest Hamming distance (bits)"
    strict_first = 1

    def default_thresholds(self, slices: SweptSlices) -> Sequence[float]:
        """Every radius."""
        return range(_bits(slices) + 1)

    def expected(self, threshold: float, slices: SweptSlices) -> str | None:
        """A whole number of bits."""
        bits = _bits(slices)
        return None if threshold in range(bits + 1) else f"a whole number of bits, 0 to {bits}"

    def keep(self, slices: SweptSlices, thresholds: Sequence[float], ticks: Ticks) -> KeptSets:
        """One selection per radius."""
        fingerprints, groups = slices.fingerprints, slices.groups
        fewest = len(slices.starts) - 1
        rows: list[np.ndarray] = []
        for done, threshold in enumerate(thresholds, 1):
            kept = select_exemplars(fingerprints, threshold=int(threshold), groups=groups).kept
            rows.append(np.packbits(kept))
            ticks(done, len(thresholds))
            if kept.sum() == fewest:
                # The first slice of each group covers all others, and so it does at every larger radius.
                rows += [rows[-1]] * (len(thresholds) - done)
                break
        return KeptSets(np.stack(rows), len(slices))


def _bits(slices: SweptSlices) -> int:
    return int(slices.manifest.config["hash_size"]) ** 2
