"""All measures of a fine-tuning's predictions of other targets than classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.judge import PredictionJudge
from ctprune.evaluation.number_plots import save_number_plots
from ctprune.evaluation.numbers import NUMBER_SCALES, number_measures
from ctprune.evaluation.units import unit_name
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.measured import Measured, by_subgroup, defined
from ctprune.finetuning.outcome import patient_names
from ctprune.finetuning.splits import Splits
from ctprune.tasks.targets import targets_of


def measure_target(
    images: LabeledImages,
    splits: Splits,
    predictions: dict[int, npt.NDArray[np.float64]],
    subgroups: Sequence[str],
) -> Measured:
    """Measure predictions on the evaluated split.

    Args:
        images: Images of the task.
        splits: Splits of the images.
        predictions: Predictions of all images by seed, float64 of shape (n, columns).
        subgroups: Names of the subgroup columns.
    """
    rows = splits.rows(splits.evaluated)
    names = patient_names(images)
    patients = [names[row] for row in rows]
    truth = targets_of([images.entries[row] for row in rows], images.target)
    judged = np.stack([found[rows] for found in predictions.values()])
    judge = PredictionJudge(truth, judged, patients, number_measures, NUMBER_SCALES)
    every = np.arange(len(rows))
    of_seeds = judge.weighted(every, np.ones((1, len(rows))))
    by_seed = [
        {
            "metrics": {name: float(values[seed, 0]) for name, values in of_seeds.items()},
            "threshold": None,
            "temperature": None,
        }
        for seed in range(len(judged))
    ]
    of_all = {
        "pooled": defined(judge.pooled(every)),
        "at_threshold": None,
        "calibrated": None,
        "interval_unit": unit_name(patients),
        "no_interval": judge.missing(every),
        "subgroups": by_subgroup(images, rows, subgroups, patients, judge),
    }
    return Measured(partial(save_number_plots, truth[:, 0], judged[:, :, 0]), by_seed, of_all)
