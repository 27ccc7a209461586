"""The variation of measures over samples of images: resamples of images, or of whole patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ctprune.errors import EvaluationError
from ctprune.evaluation.predictions import checked_labels, checked_probabilities, positive_class
from ctprune.evaluation.units import unit_name, unit_of_images
from ctprune.evaluation.weighted import weighted_metrics

#: Weights held in memory at once: a block of resamples is worked on together.
_BLOCK = 1 << 21

_Floats = npt.NDArray[np.float64]

#: A function from how often each image counts, (weightings, images), to each training's measures by name,
#: (trainings, weightings); nan where a weighting does not define one.
Measures = Callable[[_Floats], dict[str, _Floats]]


@dataclass(frozen=True)
class Bootstrap:
    """The measures of several trainings on the same resamples of the same images.

    Attributes:
        values: Values of all trainings on the images as they are, (trainings,), by measure.
        samples: Values of all trainings on all resamples, (trainings, resamples), by measure; nan where one is not
            defined, such as an AUC where a class had no image.
        units: Number of images or patients to draw from.
        unit: Unit that was drawn: `image` or `patient`.
    """

    values: dict[str, npt.NDArray[np.float64]]
    samples: dict[str, npt.NDArray[np.float64]]
    units: int
    unit: str

    @property
    def resamples(self) -> int:
        """Number of resamples."""
        return int(next(iter(self.samples.values())).shape[1])

    def undefined(self, metric: str) -> int:
        """Resamples on which a measure of a training is not defined, such as an AUC where a class had no image."""
        return int(np.isnan(self.samples[metric]).any(axis=0).sum())

    def covariance(self, metric: str) -> npt.NDArray[np.float64]:
        """Covariance of a measure over samples of images, (trainings, trainings); nan with a single unit."""
        return resampled_covariance(self.samples[metric], self.units)


def bootstrap(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    positive: str | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Bootstrap:
    """Take every measure of classes of every training on resamples of the images, see `resample`.

    Args:
        labels: Index of each image's class, (images,).
        probabilities: Probabilities of shape (trainings, images, classes), or (images, classes) of one training.
        classes: Names of the classes.
        patients: Patient of each image, None where not known (the image then stands alone).
        positive: The positive class of two; by default the second.
        resamples: Number of resamples.
        seed: Random seed; the same seed gives the same resamples.

    Raises:
        EvaluationError: Labels, probabilities or patients that do not fit each other.

    >>> labels = [0, 0, 0, 1, 1, 1]
    >>> model = [[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.5, 0.5], [0.3, 0.7], [0.1, 0.9]]
    >>> found = bootstrap(labels, model, ["healthy", "ill"])
    >>> found.samples["accuracy"].shape, found.covariance("accuracy").shape
    ((1, 500), (1, 1))
    """
    label = checked_labels(labels, classes)
    trainings = checked_probabilities(probabilities, len(label), classes)
    which = positive_class(classes, positive)
    measures = partial(_measures, label, trainings, which)
    return resample(measures, len(label), patients=patients, resamples=resamples, seed=seed)


def resample(
    measures: Measures,
    images: int,
    *,
    patients: Sequence[str | None] | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Bootstrap:
    """Resample images (or patients) with replacement; take every measure of every training each time.

    A resample has as many units as there are: images, or whole patients where `patients` names them. It is the
    same for all trainings, so that differences are paired. The numbers come from the raw output of PCG64, whose
    stream numpy keeps: the same in every version.

    Args:
        measures: Takes the measures of all trainings for weights of the images.
        images: Number of images.
        patients: Patient of each image, None where not known (the image then stands alone).
        resamples: Number of resamples.
        seed: Random seed; the same seed gives the same resamples.

    Raises:
        EvaluationError: There is no resample, or not one patient for each image.

    >>> right = np.array([[1.0, 1.0, 0.0, 1.0]])
    >>> found = resample(lambda weights: {"accuracy": right @ weights.T / 4}, 4, resamples=100)
    >>> found.values["accuracy"].tolist(), found.samples["accuracy"].shape
    ([0.75], (1, 100))
    """
    if resamples < 1:
        raise EvaluationError(f"resamples {resamples}: expected 1 or more")
    unit = unit_of_images(patients, images)
    values = measures(np.ones((1, images)))
    blocks = [measures(weights) for _, weights in resample_weights(unit, resamples, seed=seed)]
    return Bootstrap(
        values={name: found[:, 0] for name, found in values.items()},
        samples={name: np.concatenate([block[name] for block in blocks], axis=1) for name in values},
        units=int(unit.max()) + 1,
        unit=unit_name(patients),
    )


def resampled_covariance(samples: npt.NDArray[np.float64], units: int) -> npt.NDArray[np.float64]:
    """Covariance over samples of units, (trainings, trainings), of values on resamples, (trainings, resamples).

    Resamples on which a training has no value are left out. The variance over resamples is smaller than that over
    samples by (n − 1)/n of n units. It is nan with a single unit.
    """
    defined = samples[:, ~np.isnan(samples).any(axis=0)]
    if defined.shape[1] < 2 or units < 2:
        return np.full((len(samples),) * 2, np.nan)
    return np.cov(defined).reshape(len(samples), -1) * units / (units - 1)


def resample_weights(
    unit: npt.NDArray[np.int64], resamples: int, *, seed: int
) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """Blocks of resamples: which of all they are, and how often each image is in them, (block, images).

    Args:
        unit: Number of each image's unit, 0 to units - 1, (images,).
        resamples: Number of resamples.
        seed: Random seed.
    """
    units = int(unit.max()) + 1
    generator = np.random.PCG64(seed)
    block = max(1, _BLOCK // len(unit))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield slice(start, start + size), _counts(generator, size, units)[:, unit]


def _counts(generator: np.random.PCG64, resamples: int, units: int) -> npt.NDArray[np.float64]:
    raw = generator.random_raw(resamples * units).reshape(resamples, units)
    # The upper 53 bits as a fraction of one: exact in float64.
    drawn = ((raw >> np.uint64(11)) * 2.0**-53 * units).astype(np.int64)
    index = drawn + np.arange(resamples)[:, None] * units
    counts = np.bincount(index.ravel(), minlength=resamples * units)
    return counts.reshape(resamples, units).astype(np.float64)


def _measures(
    label: npt.NDArray[np.int64], trainings: _Floats, positive: int | None, weights: _Floats
) -> dict[str, _Floats]:
    """Each measure of each training for each weighting: (trainings, weightings)."""
    found = [weighted_metrics(label, one, weights, positive) for one in trainings]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}
