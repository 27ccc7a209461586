"""Percentile intervals of measures that are quick to take on many resamples at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.bootstrap import resample_weights
from ctprune.evaluation.units import no_interval_because, unit_of_images

_Floats = npt.NDArray[np.float64]

#: From how often each image counts, (resamples, images), to each seed's measures by name, (seeds, resamples); nan
#: where a resample does not define one.
Measures = Callable[[_Floats], dict[str, _Floats]]


def pooled(
    measures: Measures,
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    resamples: int = 2000,
    seed: int = 0,
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
        for _, weights in resample_weights(unit, resamples, seed=seed):
            for name, values in measures(weights).items():
                samples[name].append(values.mean(axis=0))
    return {name: _described(values, samples[name]) for name, values in of_seeds.items()}


def _described(of_seeds: _Floats, samples: list[_Floats]) -> dict[str, float]:
    nan = float("nan")
    low, high = map(float, np.nanpercentile(np.concatenate(samples), [2.5, 97.5])) if samples else (nan, nan)
    std = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else nan
    return {"mean": float(of_seeds.mean()), "std": std, "low": low, "high": high}
