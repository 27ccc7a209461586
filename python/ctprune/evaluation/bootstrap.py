"""How sure a measure is: intervals by resampling images or whole patients, and the seeds of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.errors import EvaluationError
from ctprune.evaluation.metrics import METRICS
from ctprune.evaluation.predictions import checked_labels, checked_probabilities, positive_class
from ctprune.evaluation.weighted import weighted_metrics

#: Weights held in memory at once: a block of resamples is worked on together.
_BLOCK = 1 << 21

#: Keeps the stream of numbers that draws seeds apart from the one that draws images.
_SEEDS_STREAM = 1


@dataclass(frozen=True)
class Interval:
    """A measure, or a difference of two, with its 95 % percentile interval.

    Attributes:
        value: On the images as they are, the mean over seeds.
        low: 2.5th percentile over resamples.
        high: 97.5th percentile over resamples.
        p_value: Of a difference: twice the smaller share of resamples on either side of zero, at most 1; else nan.
        undefined: Resamples without a value, because a class had no image in them.
    """

    value: float
    low: float
    high: float
    p_value: float = float("nan")
    undefined: int = 0


@dataclass(frozen=True)
class Bootstrap:
    """The measures of several models on the same resamples of the same images.

    Attributes:
        values: By measure, of each model on the images as they are: (models,).
        samples: By measure, of each model on each resample: (models, resamples).
        resamples: Their number.
        unit: What was resampled beside seeds: `image` or `patient`.
    """

    values: dict[str, npt.NDArray[np.float64]]
    samples: dict[str, npt.NDArray[np.float64]]
    resamples: int
    unit: str

    def interval(self, model: int, metric: str) -> Interval:
        """A model's measure."""
        return _interval(self.values[metric][model], self.samples[metric][model])

    def difference(self, model: int, other: int, metric: str) -> Interval:
        """How much larger a model's measure is than the other's: both are taken on the same resamples."""
        samples = self.samples[metric][model] - self.samples[metric][other]
        found = _interval(self.values[metric][model] - self.values[metric][other], samples)
        return Interval(found.value, found.low, found.high, _two_sided(samples), found.undefined)


def bootstrap(
    labels: npt.ArrayLike,
    models: Sequence[npt.ArrayLike],
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    positive: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Bootstrap:
    """Resample images (or patients) and seeds with replacement; take every measure of every model each time.

    A resample has as many units as there are: images, or whole patients where `patients` names them. It is the
    same for all models, so that differences are paired. The seeds of a model are drawn with replacement too, apart
    for each model, and the measure is their mean: intervals hold what the images and what the training vary by.
    The numbers come from the raw output of PCG64, whose stream numpy keeps: the same in every version.

    Args:
        labels: (images,), index of the class.
        models: For each, (images, classes), or (seeds, images, classes).
        classes: Their names.
        patients: For each image its patient, None where not known (the image then stands alone).
        positive: As for `classification_metrics`.
        resamples: Their number.
        seed: The same seed gives the same resamples.

    Raises:
        EvaluationError: Labels, probabilities or patients that do not fit each other.

    >>> labels = [0, 0, 0, 1, 1, 1]
    >>> model = [[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.5, 0.5], [0.3, 0.7], [0.1, 0.9]]
    >>> found = bootstrap(labels, [model], ["healthy", "ill"]).interval(0, "auc")
    >>> found.low < found.value < found.high
    True
    """
    label = checked_labels(labels, classes)
    probabilities = [checked_probabilities(model, len(label), classes) for model in models]
    which = positive_class(classes, positive)
    if resamples < 1:
        raise EvaluationError(f"resamples {resamples}: expected 1 or more")
    unit = unit_of_images(patients, len(label))
    drawn = [
        seed_counts(len(model), resamples, seed=seed, stream=index) for index, model in enumerate(probabilities)
    ]
    once = np.ones((1, len(label)))
    values = [_over_seeds(label, model, once, which, np.ones((1, len(model)))) for model in probabilities]
    blocks = [
        [
            _over_seeds(label, model, weights, which, counts[rows])
            for model, counts in zip(probabilities, drawn, strict=True)
        ]
        for rows, weights in resample_weights(unit, resamples, seed=seed)
    ]
    return Bootstrap(
        values={name: np.array([value[name][0] for value in values]) for name in METRICS},
        samples={
            name: np.array([np.concatenate([block[i][name] for block in blocks]) for i in range(len(models))])
            for name in METRICS
        },
        resamples=resamples,
        unit="image" if patients is None or not any(p is not None for p in patients) else "patient",
    )


def pooled_metrics(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    positive: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Each measure's mean and standard deviation over seeds, and its 95 % interval as of `bootstrap`.

    The standard deviation is the sample's (n − 1), nan for one seed.

    >>> model = [[[0.9, 0.1], [0.4, 0.6]], [[0.6, 0.4], [0.3, 0.7]]]
    >>> pooled_metrics([0, 1], model, ["healthy", "ill"])["accuracy"]
    {'mean': 1.0, 'std': 0.0, 'low': 1.0, 'high': 1.0}
    """
    label = checked_labels(labels, classes)
    model = checked_probabilities(probabilities, len(label), classes)
    which = positive_class(classes, positive)
    once = np.ones((1, len(label)))
    seeds = [weighted_metrics(label, one, once, which) for one in model]
    found = bootstrap(
        label, [model], classes, patients=patients, positive=positive, resamples=resamples, seed=seed
    )
    pooled = {}
    for name in METRICS:
        of_seeds = np.array([one[name][0] for one in seeds])
        interval = found.interval(0, name)
        pooled[name] = {
            "mean": float(of_seeds.mean()),
            "std": float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else float("nan"),
            "low": interval.low,
            "high": interval.high,
        }
    return pooled


def resample_weights(
    unit: npt.NDArray[np.int64], resamples: int, *, seed: int
) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """Blocks of resamples: which of all they are, and how often each image is in them, (block, images).

    Args:
        unit: For each image the number of its unit, 0 to units - 1.
        resamples: Their number.
        seed: Of the generator.
    """
    units = int(unit.max()) + 1
    generator = np.random.PCG64(seed)
    block = max(1, _BLOCK // len(unit))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield slice(start, start + size), _counts(generator, size, units)[:, unit]


def seed_counts(seeds: int, resamples: int, *, seed: int, stream: int) -> npt.NDArray[np.float64]:
    """How often each seed of a model is in each resample, (resamples, seeds)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_SEEDS_STREAM, stream))
    return _counts(np.random.PCG64(sequence), resamples, seeds)


def _counts(generator: np.random.PCG64, resamples: int, units: int) -> npt.NDArray[np.float64]:
    raw = generator.random_raw(resamples * units).reshape(resamples, units)
    # The upper 53 bits as a fraction of one: exact in float64.
    drawn = ((raw >> np.uint64(11)) * 2.0**-53 * units).astype(np.int64)
    place = drawn + np.arange(resamples)[:, None] * units
    counts = np.bincount(place.ravel(), minlength=resamples * units)
    return counts.reshape(resamples, units).astype(np.float64)


def unit_of_images(patients: Sequence[str | None] | None, images: int) -> npt.NDArray[np.int64]:
    """For each image the number of what is drawn as a whole: its patient, or itself where none is known."""
    if patients is None:
        return np.arange(images)
    if len(patients) != images:
        raise EvaluationError(f"patients: expected one for each of {images} images, found {len(patients)}")
    numbers: dict[object, int] = {}
    # An image without a patient is a unit of its own.
    keys = [("patient", p) if p is not None else ("image", i) for i, p in enumerate(patients)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _over_seeds(
    label: npt.NDArray[np.int64],
    model: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    positive: int | None,
    counts: npt.NDArray[np.float64],
) -> dict[str, npt.NDArray[np.float64]]:
    """The mean over the seeds that were drawn, of each measure on each resample."""
    of_seeds = [weighted_metrics(label, one, weights, positive) for one in model]
    return {
        name: (np.stack([one[name] for one in of_seeds], axis=1) * counts).sum(axis=1) / counts.sum(axis=1)
        for name in METRICS
    }


def _interval(value: float, samples: npt.NDArray[np.float64]) -> Interval:
    defined = samples[~np.isnan(samples)]
    undefined = len(samples) - len(defined)
    if not len(defined):
        return Interval(float(value), float("nan"), float("nan"), undefined=undefined)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(float(value), float(low), float(high), undefined=undefined)


def _two_sided(samples: npt.NDArray[np.float64]) -> float:
    """Never zero: so many resamples cannot tell a smaller probability than one in so many."""
    defined = samples[~np.isnan(samples)]
    if not len(defined):
        return float("nan")
    beyond = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (beyond + 1) / (len(defined) + 1)))
