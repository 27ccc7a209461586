"""Measures by subgroup, such as sex or site, and how far the best and the worst subgroup lie apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.bootstrap import resample_weights, resampled_covariance
from ctprune.evaluation.estimate import mean_estimate
from ctprune.evaluation.levels import Levels
from ctprune.evaluation.units import unit_of_images

_Floats: TypeAlias = npt.NDArray[np.float64]
_Rows: TypeAlias = npt.NDArray[np.int64]
_Pooled: TypeAlias = dict[str, dict[str, float]]

#: Bootstrap resamples for the gaps, as many as for single measures.
_RESAMPLES = 500


class Judge(Protocol):
    """What measures any part of the evaluated images."""

    @property
    def levels(self) -> Levels:
        """Levels of the seeds, of which identical predictions count once."""

    def pooled(self, rows: _Rows) -> _Pooled:
        """Mean, standard deviation and interval of each measure on these images."""

    def weighted(self, rows: _Rows, weights: _Floats) -> dict[str, _Floats]:
        """Each measure of each seed, (seeds, weightings), for weights of these images, (weightings, rows)."""

    def missing(self, rows: _Rows) -> str | None:
        """Why these images are too few to measure anything, in words; None where they are not."""

    def worth(self, rows: _Rows) -> float:
        """Effective number of patients, see `ctprune.evaluation.measured.worth_of`."""


@dataclass(frozen=True)
class Subgroup:
    """The images with one value of a column.

    Attributes:
        value: The value.
        images: Number of its images, or of other units that have a label each.
        patients: Number of its known patients.
        pooled: Measures by name, with `mean`, `std`, `low` and `high`; None where it is too small.
        reason: Why it is too small, in words; None where it is not.
    """

    value: str
    images: int
    patients: int
    pooled: _Pooled | None
    reason: str | None


@dataclass(frozen=True)
class Gap:
    """How far the subgroups with the largest and the smallest value of a measure lie apart.

    Attributes:
        highest: Subgroup with the largest value.
        lowest: Subgroup with the smallest value.
        difference: Difference of the two values.
        low: Lower end of the interval of this difference; nan where it cannot be estimated.
        high: Upper end of this interval; nan where it cannot be estimated.
    """

    highest: str
    lowest: str
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """Measures of each subgroup, and how far apart they are.

    Attributes:
        groups: The subgroups, by value.
        gaps: Largest gap of each measure, by its name, where all measured subgroups have it; empty with fewer than
            two of them.
        pairs: Number of pairs of measured subgroups: the intervals of the gaps account for so many comparisons.
    """

    groups: list[Subgroup]
    gaps: dict[str, Gap]
    pairs: int


@dataclass(frozen=True)
class BySubgroup:
    """Measures by the values of one column.

    Attributes:
        column: Name of the column.
        images_without: Number of images, or of other units, whose cell is empty.
        groups: The subgroups, by value.
        gaps: Largest gap of each measure, by its name, where all measured subgroups have it; empty with fewer than
            two of them.
        pairs: Number of pairs of measured subgroups: the intervals of the gaps account for so many comparisons.
        by_output: The same for each label (of several), or each threshold between levels, judged by itself: rare
            ones leave the others measured.
    """

    column: str
    images_without: int
    groups: list[Subgroup]
    gaps: dict[str, Gap]
    pairs: int
    by_output: dict[str, Compared]


def measure_subgroups(
    column: str,
    values: Sequence[str | None],
    patients: Sequence[str | None],
    judge: Judge,
    outputs: Mapping[str, Judge] | None = None,
) -> BySubgroup:
    """Measure each subgroup, and the largest gap between two of them.

    A gap is that of the two subgroups that lie farthest apart, so its interval has the level of a Bonferroni
    correction for all pairs: an interval that contains 0 shows no difference between any two. It comes from a
    bootstrap of patients that is shared by both subgroups, so that a patient in both counts as one.

    Args:
        column: Name of the column.
        values: Value of each image, None where there is none.
        patients: Patient of each image, None where not known.
        judge: Measures parts of the images.
        outputs: What measures single labels, or thresholds between levels, by their names.
    """
    rows = {value: _rows_of(values, value) for value in in_order(values)}
    return BySubgroup(
        column=column,
        images_without=sum(value is None for value in values),
        **vars(_compared(rows, patients, judge)),
        by_output={name: _compared(rows, patients, one) for name, one in (outputs or {}).items()},
    )


def in_order(values: Sequence[str | None]) -> list[str]:
    """Different values: by number where all are numbers, else as text.

    >>> in_order(["10", None, "9"]), in_order(["m", "f"])
    (['9', '10'], ['f', 'm'])
    """
    found = {value for value in values if value is not None}
    try:
        return sorted(found, key=lambda value: (float(value), value))
    except ValueError:
        return sorted(found)


def _rows_of(values: Sequence[str | None], value: str) -> _Rows:
    return np.array([row for row, one in enumerate(values) if one == value], np.int64)


def _compared(rows: dict[str, _Rows], patients: Sequence[str | None], judge: Judge) -> Compared:
    groups = []
    for value, mine in rows.items():
        reason = judge.missing(mine)
        known = {patients[row] for row in mine} - {None}
        pooled = judge.pooled(mine) if reason is None else None
        groups.append(Subgroup(value, len(mine), len(known), pooled, reason))
    measured = {one.value: rows[one.value] for one in groups if one.reason is None}
    pairs = math.comb(len(measured), 2)
    return Compared(groups, _gaps(measured, patients, judge, 0.05 / pairs) if pairs else {}, pairs)


def _gaps(groups: dict[str, _Rows], patients: Sequence[str | None], judge: Judge, alpha: float) -> dict[str, Gap]:
    names = list(groups)
    every = np.concatenate(list(groups.values()))
    unit = unit_of_images([patients[row] for row in every], len(every))
    ends = np.cumsum([0, *map(len, groups.values())])
    parts = [slice(start, end) for start, end in itertools.pairwise(ends)]

    def by_group(weights: _Floats) -> list[dict[str, _Floats]]:
        return [judge.weighted(groups[name], weights[:, part]) for name, part in zip(names, parts, strict=True)]

    values = by_group(np.ones((1, len(every))))
    blocks = [by_group(weights) for _, weights in resample_weights(unit, _RESAMPLES, seed=0)]
    average = judge.levels.weights
    found = {}
    for metric in values[0]:
        means = [float((average @ one[metric]).mean()) for one in values]
        if np.isnan(means).any():
            continue
        # Of equals the first and the last, so that the two are never the same.
        best, worst = int(np.argmax(means)), len(means) - 1 - int(np.argmin(means[::-1]))
        samples = np.concatenate([block[best][metric] - block[worst][metric] for block in blocks], axis=1)
        both = np.concatenate([unit[parts[best]], unit[parts[worst]]])
        estimate = mean_estimate(
            average @ (values[best][metric] - values[worst][metric])[:, 0],
            resampled_covariance(average @ samples, len(np.unique(both))),
            image_freedom=min(judge.worth(groups[names[end]]) for end in (best, worst)) - 1,
        )
        found[metric] = Gap(names[best], names[worst], estimate.value, *estimate.interval(alpha))
    return found
