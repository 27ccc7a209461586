"""Measures of one fine-tuning over all its seeds: mean, standard deviation and 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.bootstrap import Measures, resample_weights
from ctprune.evaluation.measured import measure
from ctprune.evaluation.metrics import METRICS
from ctprune.evaluation.predictions import checked_labels, checked_probabilities
from ctprune.evaluation.units import no_interval_because, unit_of_images

_Floats = npt.NDArray[np.float64]


def pooled_metrics(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    positive: str | None = None,
    resamples: int = 500,
) -> dict[str, dict[str, float]]:
    """Each measure's mean and standard deviation over seeds, and its 95 % interval.

    The interval covers the variation over images and over seeds of fine-tuning (see `measure`), for this one
    backbone. Seeds with identical predictions count once. The standard deviation is the sample's (n − 1),
    nan for one seed; `low` and `high` are nan where `no_interval_because` gives a reason.

    >>> model = [[[0.9, 0.1], [0.4, 0.6]] * 6, [[0.6, 0.4], [0.3, 0.7]] * 6]
    >>> found = pooled_metrics([0, 1] * 6, model, ["healthy", "ill"])["accuracy"]
    >>> found["mean"], found["std"], round(found["low"], 3), found["high"]
    (1.0, 0.0, 0.541, 1.0)
    """
    label = checked_labels(labels, classes)
    model = checked_probabilities(probabilities, len(label), classes)
    found = measure(
        label,
        [model],
        classes,
        pretrainings=[[0] * len(model)],
        patients=patients,
        positive=positive,
        resamples=resamples,
    )
    described = {}
    for name in METRICS:
        low, high = found.interval(0, name)
        described[name] = {
            "mean": found.mean(0, name).value,
            "std": float(np.std(found.trainings[0][name], ddof=1)) if len(model) > 1 else float("nan"),
            "low": low,
            "high": high,
        }
    return described


def pooled(
    measures: Measures,
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each measure over seeds, and the 95 % interval of the mean.

    The interval is from the 2.5th to the 97.5th percentile over resamples of images, or of whole patients where
    they are known; nan where `no_interval_because` gives a reason. The standard deviation is the sample's, nan for
    one seed.

    >>> right = np.array([[1, 1, 1, 0] * 3])
    >>> share = lambda weights: {"accuracy": right @ weights.T / weights.sum(axis=1)}
    >>> found = pooled(share, np.array([0, 1] * 6), ["healthy", "ill"])["accuracy"]
    >>> found["mean"], found["low"] < 0.75 < found["high"]
    (0.75, True)
    """
    of_seeds = {name: values[:, 0] for name, values in measures(np.ones((1, len(labels)))).items()}
    samples: dict[str, list[_Floats]] = {name: [] for name in of_seeds}
    if no_interval_because(labels, classes, patients=patients) is None:
        unit = unit_of_images(patients, len(labels))
        for _, weights in resample_weights(unit, 2000, seed=0):
            for name, values in measures(weights).items():
                samples[name].append(values.mean(axis=0))
    return {name: _described(values, samples[name]) for name, values in of_seeds.items()}


def _described(of_seeds: _Floats, samples: list[_Floats]) -> dict[str, float]:
    nan = float("nan")
    low, high = map(float, np.nanpercentile(np.concatenate(samples), [2.5, 97.5])) if samples else (nan, nan)
    std = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else nan
    return {"mean": float(of_seeds.mean()), "std": std, "low": low, "high": high}
