"""All measures of a fine-tuning's predictions of other targets than classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctprune.errors import TaskError
from ctprune.evaluation.judge import PredictionJudge
from ctprune.evaluation.label_measures import LABEL_SCALES, label_measures
from ctprune.evaluation.level_measures import above_thresholds
from ctprune.evaluation.number_plots import save_number_plots
from ctprune.evaluation.output_plots import save_label_plots, save_level_plots
from ctprune.evaluation.scales import Scale
from ctprune.evaluation.targets import groups_of, judge_of
from ctprune.evaluation.units import unit_name
from ctprune.finetuning.labeled import Labeled
from ctprune.finetuning.measured import Measured, Pooled, by_subgroup, defined
from ctprune.finetuning.outcome import patient_names
from ctprune.finetuning.splits import Splits
from ctprune.options.shared import MULTI_LABEL, ORDINAL
from ctprune.tasks.listing import TRAIN
from ctprune.tasks.targets import targets_of

_Floats = npt.NDArray[np.float64]
_Patients = Sequence[str | None]


def measure_target(
    images: Labeled, splits: Splits, predictions: dict[int, _Floats], subgroups: Sequence[str]
) -> Measured:
    """Measure predictions on the evaluated split.

    Args:
        images: What has been predicted: images of the task, volumes or patients.
        splits: Their splits.
        predictions: Predictions of all of them by seed, float64 of shape (n, columns).
        subgroups: Names of the subgroup columns.
    """
    rows = splits.rows(splits.evaluated)
    of_all = patient_names(images)
    patients = [of_all[row] for row in rows]
    names = images.class_names
    truth = targets_of([images.entries[row] for row in rows], images.target, names)
    judged = np.stack([found[rows] for found in predictions.values()])
    judge, outputs, plot = _judges(images, truth, judged, patients)
    every = np.arange(len(rows))
    of_seeds = judge.weighted(every, np.ones((1, len(rows))))
    return Measured(
        plot=plot,
        by_seed=[
            {
                "metrics": {name: float(values[seed, 0]) for name, values in of_seeds.items()},
                "threshold": None,
                "temperature": None,
            }
            for seed in range(len(judged))
        ],
        of_all={
            "pooled": defined(judge.pooled(every)),
            "by_output": {name: _with_reason(one, every) for name, one in outputs.items()},
            "at_threshold": None,
            "calibrated": None,
            "interval_unit": unit_name(patients, each=images.unit),
            "no_interval": judge.missing(every),
            "subgroups": by_subgroup(images, rows, subgroups, patients, judge, outputs),
        },
    )


def label_counts(images: Labeled, splits: Splits) -> dict[str, dict[str, int]]:
    """By split the number of images, or other units, with each label; empty for other targets."""
    if images.target != MULTI_LABEL:
        return {}
    names = images.class_names
    labels = targets_of(images.entries, images.target, names)
    return {
        split: dict(zip(names, labels[splits.rows(split)].sum(axis=0).astype(int).tolist(), strict=True))
        for split in splits.counts(images)
    }


def check_labels(images: Labeled, splits: Splits, source: Path) -> None:
    """Refuse labels that all images of a split have, or none of them.

    Raises:
        TaskError: The sentence names the label and the split.
    """
    for split in (TRAIN, splits.evaluated):
        total = len(splits.rows(split))
        for name, count in label_counts(images, splits).get(split, {}).items():
            if count in (0, total):
                raise TaskError(
                    f"{source}: expected {images.unit}s with and without label {name} in {split}, found {count:,} "
                    f"of {total:,} with it"
                )


def _judges(
    images: Labeled, truth: _Floats, predictions: _Floats, patients: _Patients
) -> tuple[PredictionJudge, dict[str, PredictionJudge], Callable[[Path], object]]:
    """What measures all outputs, what measures single ones by their names, and what draws the figures."""
    target, names, unit = images.target, images.class_names, images.unit
    judge = judge_of(target, names, truth, predictions, patients, unit)
    if target == MULTI_LABEL:
        single = {
            name: _of_label(truth[:, [column]], predictions[:, :, [column]], group, patients, LABEL_SCALES, unit)
            for column, (name, (_, group)) in enumerate(zip(names, groups_of(target, names, truth), strict=True))
        }
        return judge, single, partial(save_label_plots, truth, predictions, names)
    if target == ORDINAL:
        passed = [above_thresholds(truth, one) for one in predictions]
        above = np.stack([probability for _, probability in passed])
        of_threshold = {}
        for column, name in enumerate(names[:-1]):
            of_column = passed[0][0][:, [column]], above[:, :, [column]]
            sides = (f"not above {name}", f"above {name}")
            of_threshold[sides[1]] = _of_label(*of_column, sides, patients, {"auc": None}, unit)
        return judge, of_threshold, partial(save_level_plots, truth, predictions, names)
    return judge, {}, partial(save_number_plots, truth[:, 0], predictions[:, :, 0])


def _of_label(
    truth: _Floats,
    predictions: _Floats,
    sides: Sequence[str],
    patients: _Patients,
    scales: Mapping[str, Scale | None],
    unit: str,
) -> PredictionJudge:
    """What measures one label: images without it against images with it, the two `sides`."""
    labeling = (truth[:, 0].astype(np.int64), sides)

    def measures(true: _Floats, predicted: _Floats, weights: _Floats) -> dict[str, _Floats]:
        found = label_measures(true, predicted, weights)
        return {measure: found[measure] for measure in scales}

    return PredictionJudge(truth, predictions, patients, measures, scales, [labeling], unit)


def _with_reason(judge: PredictionJudge, every: npt.NDArray[np.int64]) -> dict[str, Pooled | str | None]:
    return {"pooled": defined(judge.pooled(every)), "no_interval": judge.missing(every)}
