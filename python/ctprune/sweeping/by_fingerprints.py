"""Sweep of the methods that compare fingerprints: these stand in the manifest, no pixel is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctprune.environment.progress import Operation
from ctprune.errors import ConfigError
from ctprune.selection.exemplars import select_exemplars
from ctprune.sweeping.method import KeptSets, SweptMethod
from ctprune.sweeping.slices import SweptSlices


class FingerprintSweep(SweptMethod):
    """Hamming distances of fingerprints."""

    def keep(self, slices: SweptSlices, thresholds: Sequence[float], operation: Operation) -> KeptSets:
        """One selection per radius."""
        found, own = slices.manifest.config["fingerprint"], self.method.fingerprint
        if found != own:
            raise ConfigError(
                f"methods {self.name}: expected a reduction whose fingerprints are {own}, found {found}: run "
                f"'ctprune reduce' again with `fingerprint` {own}",
                field="methods",
            )
        fingerprints, groups = slices.fingerprints, slices.groups
        fewest = len(slices.group_starts) - 1
        rows: list[np.ndarray] = []
        for done, threshold in enumerate(thresholds, 1):
            kept = select_exemplars(fingerprints, threshold=int(threshold), groups=groups).kept
            rows.append(np.packbits(kept))
            operation.report(self.name, done, len(thresholds), "thresholds")
            if kept.sum() == fewest:
                # The first slice of each group covers all others, and so it does at every larger radius.
                rows += [rows[-1]] * (len(thresholds) - done)
                operation.report(self.name, len(thresholds), len(thresholds), "thresholds")
                break
        return KeptSets(np.stack(rows), len(slices))
