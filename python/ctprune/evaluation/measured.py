"""Measures of several models on the same images, with their variation over trainings and images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.bootstrap import Bootstrap, bootstrap
from ctprune.evaluation.delong import auc_covariance, macro_auc_covariance
from ctprune.evaluation.estimate import (
    Estimate,
    combined_estimate,
    difference_estimate,
    mean_estimate,
    paired_estimate,
)
from ctprune.evaluation.levels import Levels, levels_of
from ctprune.evaluation.metrics import METRICS
from ctprune.evaluation.predictions import checked_labels, checked_probabilities, positive_class
from ctprune.evaluation.scales import FRACTION, Scale, scaled_interval
from ctprune.evaluation.units import no_interval_because, unit_name, unit_of_images


@dataclass(frozen=True)
class Measured:
    """Measures of several models, with all that their intervals need.

    Attributes:
        levels: Levels of each model: its trainings, sorted by pre-training.
        trainings: Values of each model's trainings, (trainings,), by measure.
        covariance: Covariance of all levels of all models over samples of images, (levels, levels), by measure.
        scales: Scale of each measure's interval, in the order in which measures are shown.
        worth: Effective number of patients of the rarest class, or of all where there are no classes: as many
            equally large ones would weigh the same.
        resamples: Number of bootstrap resamples.
        undefined: Number of resamples without a value, such as an AUC where a class had no image, by measure.
        unit: Unit that was resampled: `patient`, or where none is known what each label is of.
        no_interval: Why no interval can be estimated, in words; None where one can.
    """

    levels: tuple[Levels, ...]
    trainings: tuple[dict[str, npt.NDArray[np.float64]], ...]
    covariance: dict[str, npt.NDArray[np.float64]]
    scales: Mapping[str, Scale | None]
    worth: float
    resamples: int
    undefined: dict[str, int]
    unit: str
    no_interval: str | None

    def values(self, model: int, metric: str) -> npt.NDArray[np.float64]:
        """A measure of each level of a model, (levels,)."""
        return self.levels[model].weights @ self.trainings[model][metric]

    def mean(self, model: int, metric: str) -> Estimate:
        """A model's measure with its error."""
        return self._known(
            mean_estimate(
                self.values(model, metric), self._block(metric, model, model), image_freedom=self.worth - 1
            )
        )

    def difference(self, model: int, other: int, metric: str) -> Estimate:
        """How much larger a model's measure is than the other's."""
        return self._known(
            difference_estimate(
                self.values(model, metric),
                self.values(other, metric),
                self._block(metric, model, model),
                self._block(metric, other, other),
                self._block(metric, model, other),
                image_freedom=self.worth - 1,
            )
        )

    def combination(self, weights: Mapping[int, float], metric: str) -> Estimate:
        """A weighted sum of models' measures, by the model; those of weight 0 have no part in it."""
        models = [model for model, weight in weights.items() if weight]
        return self._known(
            combined_estimate(
                [self.values(model, metric) for model in models],
                [weights[model] for model in models],
                [[self._block(metric, model, other) for other in models] for model in models],
                image_freedom=self.worth - 1,
            )
        )

    def paired(self, weights: Mapping[int, float], levels: Mapping[int, Sequence[int]], metric: str) -> Estimate:
        """The same of levels that belong together.

        Args:
            weights: Weight of each model.
            levels: Places of each model's levels, in one order for all models: the first ones belong together.
            metric: The measure.
        """
        models = [model for model, weight in weights.items() if weight]
        places = [np.array(levels[model]) for model in models]
        return self._known(
            paired_estimate(
                [self.values(model, metric)[own] for model, own in zip(models, places, strict=True)],
                [weights[model] for model in models],
                [
                    [
                        self._block(metric, model, other)[np.ix_(own, others)]
                        for other, others in zip(models, places, strict=True)
                    ]
                    for model, own in zip(models, places, strict=True)
                ],
                image_freedom=self.worth - 1,
            )
        )

    def interval(self, model: int, metric: str) -> tuple[float, float]:
        """The interval of a model's measure, within its range."""
        return scaled_interval(self.mean(model, metric), self.scales[metric], self.worth)

    def _known(self, found: Estimate) -> Estimate:
        return Estimate(found.value, math.nan, math.nan) if self.no_interval else found

    def _block(self, metric: str, model: int, other: int) -> npt.NDArray[np.float64]:
        counts = [len(one.weights) for one in self.levels]
        ends = np.cumsum([0, *counts])
        rows, columns = slice(ends[model], ends[model + 1]), slice(ends[other], ends[other + 1])
        return self.covariance[metric][rows, columns]


def measure(
    labels: npt.ArrayLike,
    models: Sequence[npt.ArrayLike],
    classes: Sequence[str],
    *,
    pretrainings: Sequence[Sequence[Hashable]],
    patients: Sequence[str | None] | None = None,
    positive: str | None = None,
    each: str = "image",
    resamples: int = 500,
    seed: int = 0,
) -> Measured:
    """Take every measure of classes of every model, with all that its interval needs.

    What the images do to the AUC comes from DeLong's covariance (by patient from Obuchowski's), to the other
    measures from a bootstrap.

    Args:
        labels: Index of each image's class, (images,).
        models: Probabilities of each model, (trainings, images, classes).
        classes: Names of the classes.
        pretrainings: For each model, the pre-training of each of its trainings, see `levels_of`.
        patients: Patient of each image, None where not known.
        positive: The positive class of two; by default the second.
        each: What each label is of, such as `volume`, in words.
        resamples: Number of bootstrap resamples.
        seed: Random seed of the bootstrap.

    Raises:
        EvaluationError: Labels, probabilities, pre-trainings or patients that do not fit each other.

    >>> random = np.random.default_rng(0)
    >>> labels, noise = np.arange(80) % 2, random.normal(size=(2, 80))
    >>> share = 1 / (1 + np.exp(-2 * labels - noise - 0.5 * random.normal(size=(2, 80))))
    >>> models = [np.stack([1 - one, one], axis=1)[None] for one in share]
    >>> found = measure(labels, models, ["healthy", "ill"], pretrainings=[["a"], ["b"]])
    >>> low, high = found.interval(0, "auc")
    >>> low < found.mean(0, "auc").value < high
    True
    """
    label = checked_labels(labels, classes)
    checked = [checked_probabilities(model, len(label), classes) for model in models]
    together = np.concatenate(checked)
    drawn = bootstrap(
        label, together, classes, patients=patients, positive=positive, resamples=resamples, seed=seed
    )
    return measured_of(
        drawn,
        checked,
        pretrainings=pretrainings,
        exact={"auc": _auc_covariance(label, together, classes, positive, patients)},
        scales=dict.fromkeys(METRICS, FRACTION),
        worth=worth_of(label, unit_of_images(patients, len(label))),
        unit=unit_name(patients, each=each),
        no_interval=no_interval_because(label, classes, patients=patients, each=each),
    )


def measured_of(
    drawn: Bootstrap,
    models: Sequence[npt.NDArray[np.float64]],
    *,
    pretrainings: Sequence[Sequence[Hashable]],
    exact: Mapping[str, npt.NDArray[np.float64]],
    scales: Mapping[str, Scale | None],
    worth: float,
    unit: str,
    no_interval: str | None,
) -> Measured:
    """Put together what was measured of the trainings of all models.

    Args:
        drawn: Measures of the trainings of all models, one model after the other.
        models: Predictions of each model, (trainings, images, columns).
        pretrainings: For each model, the pre-training of each of its trainings, see `levels_of`.
        exact: Covariances of all trainings that are known without resamples, by measure.
        scales: As in `Measured`; so are the others.
        worth: Effective number of patients.
        unit: Unit that was resampled.
        no_interval: Why no interval can be estimated.
    """
    levels = tuple(levels_of(one, of_one) for one, of_one in zip(models, pretrainings, strict=True))
    averages = _block_diagonal([one.weights for one in levels])
    covariance = {name: averages @ drawn.covariance(name) @ averages.T for name in scales if name not in exact}
    ends = np.cumsum([0, *(len(one) for one in models)])
    return Measured(
        levels=levels,
        trainings=tuple(
            {name: drawn.values[name][start:end] for name in scales} for start, end in itertools.pairwise(ends)
        ),
        covariance=covariance | {name: averages @ found @ averages.T for name, found in exact.items()},
        scales=scales,
        worth=worth,
        resamples=drawn.resamples,
        undefined={name: drawn.undefined(name) for name in scales},
        unit=unit,
        no_interval=no_interval,
    )


def worth_of(label: npt.NDArray[np.int64], unit: npt.NDArray[np.int64]) -> float:
    """The effective number of patients of the rarest class: (Σ n)² / Σ n² of their images n.

    One patient with half of the images makes an interval as unsure as four patients would.

    >>> worth_of(np.zeros(6, int), np.array([0, 0, 1, 1, 2, 2]))
    3.0
    >>> worth_of(np.zeros(4, int), np.array([0, 0, 0, 1]))
    1.6
    """
    sizes = [np.bincount(unit[label == c]) for c in np.unique(label)]
    return float(min(size.sum() ** 2 / (size**2).sum() for size in sizes))


def _auc_covariance(
    label: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
    classes: Sequence[str],
    positive: str | None,
    patients: Sequence[str | None] | None,
) -> npt.NDArray[np.float64]:
    which = positive_class(classes, positive)
    if which is None or len(np.unique(label)) < 2:
        return macro_auc_covariance(label, probabilities, patients=patients)
    return auc_covariance(label == which, probabilities[:, :, which], patients=patients)[1]


def _block_diagonal(blocks: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    found = np.zeros((sum(len(one) for one in blocks), sum(one.shape[1] for one in blocks)))
    row = column = 0
    for one in blocks:
        found[row : row + len(one), column : column + one.shape[1]] = one
        row, column = row + len(one), column + one.shape[1]
    return found
