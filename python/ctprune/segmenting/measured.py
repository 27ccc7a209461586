"""Measures of a segmentation over patients and seeds, with intervals from resamples of patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.bootstrap import resample_weights
from ctprune.evaluation.units import no_interval_because
from ctprune.segmenting.dice import Counts, measures_of

_Floats = npt.NDArray[np.float64]
Pooled = dict[str, dict[str, float]]

_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Measured:
    """Measures of one split.

    Attributes:
        pooled: Means over classes, by measure: `mean` and `std` over the seeds, `low` and `high` of the interval.
        by_class: The same of each class.
        by_seed: Means over classes of each seed, by measure.
        defined: Patients for whom a class's Dice is defined, by class.
        no_interval: Reason why no interval can be estimated; None if there is one.
    """

    pooled: Pooled
    by_class: dict[str, Pooled]
    by_seed: list[dict[str, float]]
    defined: dict[str, int]
    no_interval: str | None


def measure(counts: Counts, patients: Sequence[str], classes: Sequence[str], *, seed: int = 0) -> Measured:
    """Measure predictions of several seeds.

    A class's measure is the mean over the patients for whom it is defined; the measure without a class is the
    mean over the classes. The interval is from the 2.5th to the 97.5th percentile of the mean over seeds, over
    resamples of patients; nan where fewer than six patients have a value.

    Args:
        counts: Voxels of shape (seeds, patients, classes, 3), as from `ctprune.segmenting.dice.by_patient`.
        patients: Names of the patients.
        classes: Names of the classes but background.
        seed: Random seed of the resamples.
    """
    values = measures_of(counts)
    has_value = np.isfinite(values["dice"]).max(axis=0)
    reasons = [_no_interval(has_value[:, index]) for index in range(len(classes))]
    blocks = resample_weights(np.arange(len(patients)), _RESAMPLES, seed=seed)
    samples: dict[str, list[_Floats]] = {name: [] for name in values}
    if None in reasons:
        for _, weights in blocks:
            for name, one in values.items():
                samples[name].append(_means(one, weights).mean(axis=0))
    whole = {name: _means(one, np.ones((1, len(patients))))[:, 0] for name, one in values.items()}
    reason = next((one for one in reasons if one is not None), None)
    pooled: Pooled = {}
    by_class: dict[str, Pooled] = {name: {} for name in classes}
    for name, means in whole.items():
        drawn = np.concatenate(samples[name]) if samples[name] else None
        pooled[name] = _described(_mean(means), None if drawn is None or reason else _mean(drawn))
        for index, of_class in enumerate(classes):
            is_known = drawn is not None and reasons[index] is None
            by_class[of_class][name] = _described(
                means[:, index], drawn[:, index] if drawn is not None and is_known else None
            )
    return Measured(
        pooled=pooled,
        by_class=by_class,
        by_seed=[
            {name: float(_mean(means)[index]) for name, means in whole.items()} for index in range(len(counts))
        ],
        defined=dict(zip(classes, has_value.sum(axis=0).tolist(), strict=True)),
        no_interval=reason,
    )


def _no_interval(has_value: npt.NDArray[np.bool_]) -> str | None:
    count = int(has_value.sum())
    return no_interval_because(np.zeros(count, np.int64), [""], patients=[str(number) for number in range(count)])


def _means(values: _Floats, weights: _Floats) -> _Floats:
    """Means over the patients with a value: (seeds, patients, classes) to (seeds, weightings, classes)."""
    is_there = ~np.isnan(values)
    sums = np.einsum("spc,wp->swc", np.nan_to_num(values), weights)
    counts = np.einsum("spc,wp->swc", is_there.astype(np.float64), weights)
    found: _Floats = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return found


def _mean(values: _Floats) -> _Floats:
    """Means over the last axis of what is defined; nan where nothing is."""
    is_there = ~np.isnan(values)
    counts = is_there.sum(axis=-1)
    sums = np.nansum(values, axis=-1)
    found: _Floats = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    return found


def _described(of_seeds: _Floats, samples: _Floats | None) -> dict[str, float]:
    nan = float("nan")
    found = (nan, nan) if samples is None or np.isnan(samples).all() else np.nanpercentile(samples, [2.5, 97.5])
    std = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else nan
    return {"mean": float(of_seeds.mean()), "std": std, "low": float(found[0]), "high": float(found[1])}
