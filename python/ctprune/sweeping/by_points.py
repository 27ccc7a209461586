"""Sweep of the methods that take fingerprints and embeddings alike, as points: one selection per threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation
from ctprune.selection.points import select_points
from ctprune.sweeping.method import KeptSets, SweptMethod
from ctprune.sweeping.slices import SweptSlices


class PointSweep(SweptMethod):
    """Hamming distances of the fingerprints in the manifest, or cosines where the reduction took embeddings."""

    def keep(self, slices: SweptSlices, thresholds: Sequence[float], operation: Operation) -> KeptSets:
        """One selection per threshold."""
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
                threshold=threshold,
                starts=slices.group_starts,
                threads=self.config.threads,
            )
            rows.append(np.packbits(found.kept))
            operation.report(self.name, done, len(thresholds), "thresholds")
        return KeptSets(np.stack(rows), len(slices), left_out, about)
