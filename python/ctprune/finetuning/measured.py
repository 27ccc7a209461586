"""All measures of a fine-tuning's predictions on the evaluated split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.brier import brier_scores, pooled_brier
from ctprune.evaluation.metrics import classification_metrics
from ctprune.evaluation.pooled import pooled_metrics
from ctprune.evaluation.units import no_interval_because, unit_name
from ctprune.finetuning.adjusted import Judged, at_threshold, calibrated
from ctprune.finetuning.labeled import Labeled
from ctprune.finetuning.outcome import patient_names
from ctprune.finetuning.splits import Splits

Pooled = dict[str, dict[str, float | None]]


@dataclass(frozen=True, eq=False)
class Measured:
    """The measured part of a `FinetuneResult`.

    Attributes:
        evaluated: Labels and probabilities that were measured.
        by_seed: A mapping per seed with `metrics`, `threshold` and `temperature`.
        of_all: Fields of the result about all seeds together, by name.
    """

    evaluated: Judged
    by_seed: list[dict[str, Any]]
    of_all: dict[str, Any]


def measure(
    images: Labeled, splits: Splits, probabilities: dict[int, npt.NDArray[np.float64]], positive: str | None
) -> Measured:
    """Measure predictions on the evaluated split; thresholds and temperatures come from the selecting split.

    Args:
        images: What has been predicted: images of the task, volumes or patients.
        splits: Their splits.
        probabilities: Probabilities of all of them by seed, float64 of shape (n, classes).
        positive: The positive class of two; None with more classes.
    """
    classes = images.classes
    select = _judged(images, probabilities, splits.rows(splits.selection))
    rows = splits.rows(splits.evaluated)
    evaluated = _judged(images, probabilities, rows)
    names = patient_names(images)
    patients = [names[row] for row in rows]
    point = None if positive is None else at_threshold(select, evaluated, classes, positive, patients)
    scaled = calibrated(select, evaluated, classes, patients)
    pooled = pooled_metrics(
        evaluated.labels, evaluated.probabilities, classes, patients=patients, positive=positive
    )
    brier = pooled_brier(evaluated.labels, evaluated.probabilities, classes, patients=patients)
    return Measured(
        evaluated=evaluated,
        by_seed=[
            {
                "metrics": classification_metrics(evaluated.labels, one, classes, positive=positive)
                | {"brier": float(brier_scores(evaluated.labels, one, classes).mean())},
                "threshold": None if point is None else point.chosen[index],
                "temperature": scaled.chosen[index],
            }
            for index, one in enumerate(evaluated.probabilities)
        ],
        of_all={
            "pooled": _defined(pooled | {"brier": brier}),
            "at_threshold": None if point is None else _defined(point.pooled),
            "calibrated": _defined(scaled.pooled),
            "interval_unit": unit_name(patients, each=images.unit),
            "no_interval": no_interval_because(evaluated.labels, classes, patients=patients, each=images.unit),
        },
    )


def _judged(
    images: Labeled, probabilities: dict[int, npt.NDArray[np.float64]], rows: npt.NDArray[np.int64]
) -> Judged:
    return Judged(images.labels[rows], np.stack([found[rows] for found in probabilities.values()]))


def _defined(pooled: Mapping[str, Mapping[str, float]]) -> Pooled:
    """None for what is not defined, as it stands in JSON, too."""
    return {
        name: {key: None if math.isnan(value) else value for key, value in one.items()}
        for name, one in pooled.items()
    }
