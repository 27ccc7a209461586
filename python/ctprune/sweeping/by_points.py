"""Sweep of the methods that compare points: one selection per threshold, or per fraction to keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation
from ctprune.selection.methods import Measure, Method
from ctprune.selection.points import select_points
from ctprune.sweeping.config import SweepConfig
from ctprune.sweeping.method import KeptSets, SweptMethod
from ctprune.sweeping.slices import SweptSlices


class _Fractions(Measure):
    """Fractions to keep, in place of thresholds."""

    @property
    def bound(self) -> str:
        """What a threshold is."""
        return self.name


#: From the one that drops least to the others.
FRACTIONS = _Fractions(
    name="fraction to keep",
    unit="",
    larger_is_closer=True,
    low=1e-6,
    high=1.0,
    example=0.1,
    grid=(0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    strictest_drops="nothing",
)


class PointSweep(SweptMethod):
    """Hamming distances of the fingerprints in the manifest, or cosines where the reduction took embeddings."""

    def __init__(self, method: Method, config: SweepConfig) -> None:
        super().__init__(method, config)
        self._by_fraction = "threshold" not in method.options
        if self._by_fraction:
            self.measure = FRACTIONS

    def keep(self, slices: SweptSlices, thresholds: Sequence[float], operation: Operation) -> KeptSets:
        """One selection per threshold or fraction."""
        points: npt.NDArray[Any] = slices.fingerprints
        left_out, about = Counter[str](), {}
        if self.method.compares == "embeddings":
            # Not before they are asked for: it may need torch.
            from ctprune.sweeping.by_embeddings import embed

            embedded, weights = embed(self, slices, operation)
            points, left_out, about = embedded.embeddings, embedded.left_out, {"weights_sha256": weights}
        rows = []
        for done, threshold in enumerate(thresholds, 1):
            found = select_points(
                points,
                self.name,
                threshold=None if self._by_fraction else threshold,
                keep=threshold if self._by_fraction else None,
                seed=slices.manifest.config.get("seed"),
                clusters=slices.manifest.config.get("clusters"),
                starts=slices.group_starts,
                threads=self.config.threads,
            )
            rows.append(np.packbits(found.kept))
            operation.report(self.name, done, len(thresholds), "thresholds")
        return KeptSets(np.stack(rows), len(slices), left_out, about)
