"""All measures of a fine-tuning's predictions on the evaluated split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.brier import brier_scores, pooled_brier
from ctprune.evaluation.class_judge import ClassJudge
from ctprune.evaluation.metrics import classification_metrics
from ctprune.evaluation.plots import save_plots
from ctprune.evaluation.pooled import pooled_metrics
from ctprune.evaluation.subgroups import BySubgroup, Judge, measure_subgroups
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
        plot: Writes the figures into a folder.
        by_seed: A mapping per seed with `metrics`, `threshold` and `temperature`.
        of_all: Fields of the result about all seeds together, by name.
    """

    plot: Callable[[Path], object]
    by_seed: list[dict[str, Any]]
    of_all: dict[str, Any]


def measure(
    images: Labeled,
    splits: Splits,
    probabilities: dict[int, npt.NDArray[np.float64]],
    positive: str | None,
    subgroups: Sequence[str] = (),
) -> Measured:
    """Measure predictions on the evaluated split; thresholds and temperatures come from the selecting split.

    Args:
        images: What has been predicted: images of the task, volumes or patients.
        splits: Their splits.
        probabilities: Probabilities of all of them by seed, float64 of shape (n, classes).
        positive: The positive class of two; None with more classes.
        subgroups: Names of the subgroup columns, in the order of `Entry.subgroups`.
    """
    classes = images.classes
    select = _judged(images, probabilities, splits.rows(splits.selection))
    rows = splits.rows(splits.evaluated)
    evaluated = _judged(images, probabilities, rows)
    names = patient_names(images)
    patients = [names[row] for row in rows]
    point = None if positive is None else at_threshold(select, evaluated, classes, positive, patients)
    judge = ClassJudge(evaluated.labels, evaluated.probabilities, classes, positive, patients, images.unit)
    scaled = calibrated(select, evaluated, classes, patients)
    pooled = pooled_metrics(
        evaluated.labels, evaluated.probabilities, classes, patients=patients, positive=positive
    )
    brier = pooled_brier(evaluated.labels, evaluated.probabilities, classes, patients=patients)
    return Measured(
        plot=partial(save_plots, evaluated.labels, evaluated.probabilities, classes, positive=positive),
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
            "pooled": defined(pooled | {"brier": brier}),
            "by_output": {},
            "at_threshold": None if point is None else defined(point.pooled),
            "calibrated": defined(scaled.pooled),
            "interval_unit": unit_name(patients, each=images.unit),
            "subgroups": by_subgroup(images, rows, subgroups, patients, judge),
            "no_interval": no_interval_because(evaluated.labels, classes, patients=patients, each=images.unit),
        },
    )


def by_subgroup(
    images: Labeled,
    rows: npt.NDArray[np.int64],
    columns: Sequence[str],
    patients: Sequence[str | None],
    judge: Judge,
    outputs: Mapping[str, Judge] | None = None,
) -> list[dict[str, Any]]:
    """Measures by the values of each column, fit for JSON; the judges measure the images, or units, of `rows`."""
    found = []
    for index, column in enumerate(columns):
        values = [images.entries[row].subgroups[index] for row in rows]
        found.append(_plain(measure_subgroups(column, values, patients, judge, outputs)))
    return found


def _plain(found: BySubgroup) -> dict[str, Any]:
    plain = asdict(found)
    for part in (plain, *plain["by_output"].values()):
        for group in part["groups"]:
            group["pooled"] = group["pooled"] and defined(group["pooled"])
        part["gaps"] = {
            name: {
                key: None if isinstance(value, float) and math.isnan(value) else value
                for key, value in gap.items()
            }
            for name, gap in part["gaps"].items()
        }
    return plain


def _judged(
    images: Labeled, probabilities: dict[int, npt.NDArray[np.float64]], rows: npt.NDArray[np.int64]
) -> Judged:
    return Judged(images.labels[rows], np.stack([found[rows] for found in probabilities.values()]))


def defined(pooled: Mapping[str, Mapping[str, float]]) -> Pooled:
    """None for what is not defined, as it stands in JSON, too."""
    return {
        name: {key: None if math.isnan(value) else value for key, value in one.items()}
        for name, one in pooled.items()
    }
