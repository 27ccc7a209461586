"""Measures of predictions of several labels, levels or numbers: what judges them, for all targets but classes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.bootstrap import resample
from ctprune.evaluation.delong import label_auc_covariance
from ctprune.evaluation.judge import PredictionJudge
from ctprune.evaluation.label_measures import LABEL_SCALES, label_measures
from ctprune.evaluation.level_measures import LEVEL_SCALES, above_thresholds, level_measures
from ctprune.evaluation.measured import Measured, measured_of
from ctprune.evaluation.numbers import NUMBER_SCALES, number_measures
from ctprune.evaluation.units import unit_name
from ctprune.options.shared import MULTI_LABEL, ORDINAL, REGRESSION

_Floats = npt.NDArray[np.float64]

#: What measures one training's predictions, and the scales of the measures' intervals, by target.
_MEASURES = {
    MULTI_LABEL: (label_measures, LABEL_SCALES),
    ORDINAL: (level_measures, LEVEL_SCALES),
    REGRESSION: (number_measures, NUMBER_SCALES),
}


def judge_of(
    target: str,
    names: Sequence[str],
    truth: _Floats,
    predictions: _Floats,
    patients: Sequence[str | None],
    unit: str = "image",
) -> PredictionJudge:
    """What judges predictions of a target.

    Args:
        target: What labels are, but not classes.
        names: Names of the labels or levels; none of numbers.
        truth: What is true, (images, columns): 1 where an image has a label, the index of its level, or its
            number.
        predictions: Probabilities of labels or levels, or numbers, (trainings, images, columns).
        patients: Patient of each image, None where not known.
        unit: What is judged, for sentences: `image`, `volume` or `patient`.
    """
    measures, scales = _MEASURES[target]
    return PredictionJudge(truth, predictions, patients, measures, scales, groups_of(target, names, truth), unit)


def groups_of(
    target: str, names: Sequence[str], truth: _Floats
) -> list[tuple[npt.NDArray[np.int64], tuple[str, ...]]]:
    """Ways to sort images into groups that all need patients, as in `PredictionJudge`; none for numbers.

    >>> groups_of("multi-label", ["edema"], np.array([[1.0], [0.0]]))
    [(array([1, 0]), ('without label edema', 'with label edema'))]
    """
    if target == MULTI_LABEL:
        sides = [(f"without label {name}", f"with label {name}") for name in names]
        return [(column.astype(np.int64), of_label) for column, of_label in zip(truth.T, sides, strict=True)]
    if target == ORDINAL:
        return [(truth[:, 0].astype(np.int64), tuple(f"of level {name}" for name in names))]
    return []


def measure_target(
    target: str,
    names: Sequence[str],
    truth: _Floats,
    models: Sequence[_Floats],
    *,
    pretrainings: Sequence[Sequence[Hashable]],
    patients: Sequence[str | None],
    each: str = "image",
    resamples: int = 500,
    seed: int = 0,
) -> Measured:
    """Take every measure of a target of every model, with all that its interval needs; for classes see `measure`.

    What the images do to an AUC comes from each image's part in it (by patient from each patient's), to the other
    measures from a bootstrap.

    Args:
        target: What labels are, but not classes.
        names: Names of the labels or levels; none of numbers.
        truth: What is true, see `judge_of`.
        models: Predictions of each model, (trainings, images, columns).
        pretrainings: For each model, the pre-training of each of its trainings, see `levels_of`.
        patients: Patient of each image, None where not known.
        each: What each label is of, such as `volume`, in words.
        resamples: Number of bootstrap resamples.
        seed: Random seed of the bootstrap.

    >>> random = np.random.default_rng(0)
    >>> truth, noise = random.normal(size=(60, 1)), random.normal(size=(2, 1, 60, 1))
    >>> about = {"pretrainings": [["a"], ["b"]], "patients": [None] * 60}
    >>> found = measure_target("regression", [], truth, [truth + noise[0], truth + 3 * noise[1]], **about)
    >>> low, high = found.difference(0, 1, "mae").interval()
    >>> low < high < 0
    True
    """
    together = np.concatenate(models)
    judge = judge_of(target, names, truth, together, patients, each)
    every = np.arange(len(truth))
    drawn = resample(partial(judge.weighted, every), len(truth), patients=patients, resamples=resamples, seed=seed)
    exact = {}
    if target == MULTI_LABEL:
        exact["auc"] = label_auc_covariance(truth, together, patients=patients)
    elif target == ORDINAL:
        above = np.stack([above_thresholds(truth, one)[1] for one in together])
        passed = above_thresholds(truth, together[0])[0]
        exact["auc"] = label_auc_covariance(passed, above, patients=patients)
    return measured_of(
        drawn,
        models,
        pretrainings=pretrainings,
        exact=exact,
        scales=judge.scales,
        worth=judge.worth(every),
        unit=unit_name(patients, each=each),
        no_interval=judge.missing(every),
    )
