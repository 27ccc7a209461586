"""Sweep of the methods `ssim` and `mi`: every threshold from one pass over the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctprune.errors import ConfigError
from ctprune.reduction.pixel_selection import COLUMNS, sweep_pixels, threshold_grid
from ctprune.sweeping.method import KeptSets, SweptMethod, Ticks
from ctprune.sweeping.slices import SweptSlices

_BATCH = 1 << 14


class PixelSweep(SweptMethod):
    """Similarities of the grey slices."""

    strict_first = -1

    def default_thresholds(self, slices: SweptSlices) -> Sequence[float]:
        """Those among which `--keep` chooses."""
        return threshold_grid(self.name)

    def keep(self, slices: SweptSlices, thresholds: Sequence[float], ticks: Ticks) -> KeptSets:
        """One pass over the volumes."""
        if slices.scope != "volume":
            raise ConfigError(
                f"--scope dataset: {self.name} would need the pixels of the whole archive in memory; "
                "sweep it with --scope volume"
            )
        slices.check_files()
        window = slices.manifest.config.get("window") or "uniform"
        swept = sweep_pixels(
            slices.lines(list(COLUMNS), _BATCH),
            slices.manifest.config,
            method=self.name,
            window=window,
            thresholds=sorted(thresholds),
            threads=self.options.threads,
            progress=lambda done: ticks(done, len(slices)),
        )
        places = range(len(thresholds) - 1, -1, -1)
        rows = [np.packbits(swept.sweep.kept(place)) for place in places]
        about = {"window": window} if self.name == "ssim" else {}
        return KeptSets(np.stack(rows), len(slices), swept.left_out, about)


class SsimSweep(PixelSweep):
    """Structural similarity, with the run's own window if it has one."""

    name = "ssim"
    measure = "smallest mean SSIM"

    def expected(self, threshold: float, slices: SweptSlices) -> str | None:
        """A mean SSIM."""
        return None if -1 <= threshold <= 1 else "a mean SSIM, -1 to 1"


class MutualInformationSweep(PixelSweep):
    """Normalised mutual information."""

    name = "mi"
    measure = "smallest normalised mutual information"

    def expected(self, threshold: float, slices: SweptSlices) -> str | None:
        """A normalised mutual information."""
        return None if 1 <= threshold <= 2 else "a normalised mutual information, 1 to 2"
