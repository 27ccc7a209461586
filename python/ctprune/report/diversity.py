"""Diversity of the kept slices, compared with as many random ones, by the measures of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.report.run_slices import RunSlices
from ctprune.sweeping.diversity import Diversity, DiversityMeasures

#: Most slices that are measured: fewer than in a sweep, since a report should be quick.
SAMPLE = 256


@dataclass(frozen=True)
class DiversityTable:
    """Measures of the kept slices and of as many random ones, and the features that were measured."""

    features: str
    kept: Diversity
    random: Diversity


def diversity_of(slices: RunSlices) -> DiversityTable | None:
    """The measures of a run; None if it keeps no slice, or all."""
    count = int(slices.kept.sum())
    if not 0 < count < len(slices):
        return None
    measures = DiversityMeasures(slices, slices.folder, sample=SAMPLE)
    # A bit generator's raw numbers, unlike numpy's distributions, never change between versions.
    random = np.zeros(len(slices), np.bool_)
    random[np.argsort(np.random.PCG64(0).random_raw(len(slices)), kind="stable")[:count]] = True
    return DiversityTable(measures.features, measures.of(slices.kept), measures.of(random))
