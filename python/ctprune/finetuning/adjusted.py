"""Thresholds and temperatures: chosen on the selecting split, measured on the evaluated split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.brier import pooled_brier
from ctprune.evaluation.operating_point import best_threshold, measures_at
from ctprune.evaluation.pooled import pooled
from ctprune.evaluation.temperature import fit_temperature, scale_by_temperature
from ctprune.evaluation.weighted import weighted_calibration_error

_Floats = npt.NDArray[np.float64]
_Pooled = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Judged:
    """Labels and probabilities of one split.

    Attributes:
        labels: (images,), index of the class.
        probabilities: (seeds, images, classes).
    """

    labels: npt.NDArray[np.int64]
    probabilities: _Floats


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Measures at thresholds or temperatures that are chosen on the selecting split.

    Attributes:
        chosen: Threshold or temperature of each seed.
        pooled: Measures by name, as from `ctprune.evaluation.pooled.pooled`.
    """

    chosen: list[float]
    pooled: _Pooled


def at_threshold(
    select: Judged, evaluated: Judged, classes: Sequence[str], positive: str, patients: Sequence[str | None]
) -> Adjusted | None:
    """Measures at each seed's threshold (see `best_threshold`); None if the selecting split allows none."""
    column = list(classes).index(positive)
    chosen = [best_threshold(select.labels == column, one[:, column]) for one in select.probabilities]
    thresholds = [threshold for threshold in chosen if threshold is not None]
    if len(thresholds) < len(chosen):
        return None
    truth = evaluated.labels == column
    reached = evaluated.probabilities[:, :, column] >= np.array(thresholds)[:, None]

    found = pooled(
        lambda weights: measures_at(truth, reached, weights), evaluated.labels, classes, patients=patients
    )
    return Adjusted(thresholds, found)


def calibrated(
    select: Judged, evaluated: Judged, classes: Sequence[str], patients: Sequence[str | None]
) -> Adjusted:
    """Measures of the probabilities after temperature scaling, a temperature for each seed."""
    temperatures = [fit_temperature(select.labels, one) for one in select.probabilities]
    scaled = np.stack(
        [
            scale_by_temperature(one, temperature)
            for one, temperature in zip(evaluated.probabilities, temperatures, strict=True)
        ]
    )
    labels = evaluated.labels

    def measures(weights: _Floats) -> dict[str, _Floats]:
        errors = np.stack([weighted_calibration_error(labels, one, weights) for one in scaled])
        return {"calibration_error": errors / weights.sum(axis=1)}

    brier = pooled_brier(labels, scaled, classes, patients=patients)
    return Adjusted(temperatures, {"brier": brier} | pooled(measures, labels, classes, patients=patients))
