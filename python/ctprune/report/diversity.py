"""How diverse the kept slices are, beside as many random ones: the measures of the sweep's page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.report.run_slices import RunSlices
from ctprune.sweeping.diversity import Diversity, DiversityMeasures

#: Slices that the measures are taken from, at most: fewer than in a sweep, as a report should be quick.
SAMPLE = 256


@dataclass(frozen=True)
class DiversityTable:
    """Measures of the kept slices and of as many random ones, and what they are taken on."""

    features: str
    kept: Diversity
    random: Diversity


def diversity_of(slices: RunSlices) -> DiversityTable | None:
    """The measures of a run; None where it has no kept slice, or nothing but these."""
    count = int(slices.kept.sum())
    if not 0 < count < len(slices):
        return None
    measures = DiversityMeasures(slices, slices.folder, sample=SAMPLE)
    # Raw numbers of a bit generator, unlike numpy's distributions, never change from version to version.
    random = np.zeros(len(slices), np.bool_)
    random[np.argsort(np.random.PCG64(0).random_raw(len(slices)), kind="stable")[:count]] = True
    return DiversityTable(measures.features, measures.of(slices.kept), measures.of(random))
