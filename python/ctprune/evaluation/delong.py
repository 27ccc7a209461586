"""The area under the ROC curve: its variance and the difference of two, without resampling.

DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988) 837, by midranks as in Sun and Xu, IEEE Signal Processing
Letters 21 (2014) 1389; for several images of a patient, Obuchowski, Biometrics 53 (1997) 567.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from ctprune.errors import EvaluationError
from ctprune.evaluation.units import unit_of_images

#: The normal distribution's 97.5th percentile.
_Z_95 = 1.959963984540054

_Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DelongTest:
    """The test of two correlated areas.

    Attributes:
        auc: Area of the model.
        other_auc: Area of the other model.
        difference: `auc` − `other_auc`.
        low: Lower end of the difference's 95 % interval.
        high: Upper end of the difference's 95 % interval.
        z: The difference divided by its standard error; 0 where both are 0.
        p_value: Two-sided p-value of no difference.
    """

    auc: float
    other_auc: float
    difference: float
    low: float
    high: float
    z: float
    p_value: float


def auc_covariance(
    truth: npt.ArrayLike, scores: npt.ArrayLike, *, patients: Sequence[str | None] | None = None
) -> tuple[_Floats, _Floats]:
    """Areas under the ROC curves of several models on the same images, and their covariance.

    Args:
        truth: Whether each image is of the positive class, (images,).
        scores: Scores of shape (models, images), or (images,) for one model; the higher the more positive.
        patients: Patient of each image, None where not known. Images of one patient then count as dependent.

    Returns:
        Areas (models,) and covariance (models, models). With one positive or one negative image (or patient with
        such images) the covariance is nan.

    Raises:
        EvaluationError: There is no positive or no negative image, or the shapes do not fit.

    >>> areas, covariance = auc_covariance([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> areas.item(), covariance.item()
    (0.75, 0.125)
    """
    positive = np.asarray(truth).astype(bool)
    score = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if positive.ndim != 1 or score.shape[1:] != positive.shape:
        raise EvaluationError(f"scores: expected (models, {positive.size} images), found {score.shape}")
    if positive.all() or not positive.any():
        raise EvaluationError("an area under the ROC curve needs a positive and a negative image")
    of_positives, of_negatives = _placements(positive, score)
    areas = of_positives.mean(axis=1)
    unit = unit_of_images(patients, len(positive))
    return areas, _clustered_covariance(
        of_positives - areas[:, None], of_negatives - areas[:, None], unit[positive], unit[~positive]
    )


def macro_auc_covariance(
    labels: npt.NDArray[np.int64], probabilities: _Floats, *, patients: Sequence[str | None] | None = None
) -> _Floats:
    """Covariance of several models' mean area over classes, each against the rest.

    The mean of the areas is a sum over images too, so its covariance comes from each image's part in it, as for
    one area.

    Args:
        labels: Index of each image's class, (images,); a class without an image does not count.
        probabilities: Probabilities of shape (models, images, classes).
        patients: Patient of each image, None where not known, see `auc_covariance`.

    Returns:
        Covariance of shape (models, models); nan where a class has images of one patient only, or where there is
        one class.

    >>> labels, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> macro_auc_covariance(labels, np.stack([1 - score, score], axis=1)[None]).round(6).item()
    0.125
    """
    present = np.unique(labels)
    unit = unit_of_images(patients, len(labels))
    if len(present) < 2:
        return np.full((len(probabilities),) * 2, math.nan)
    parts = np.zeros(probabilities.shape[:2])
    for c in present:
        truth = labels == c
        parts += _parts(truth, probabilities[:, :, c]) / len(present)
    for c in present:
        parts[:, labels == c] *= _as_of_sample(unit[labels == c])
    return _summed(parts, unit)


def label_auc_covariance(
    truth: _Floats, probabilities: _Floats, *, patients: Sequence[str | None] | None = None
) -> _Floats:
    """Covariance of several models' mean area over labels: images with each against images without it.

    Args:
        truth: 1 where an image has a label, (images, labels); a label of all images, or of none, does not count.
        probabilities: Probability of each label, (models, images, labels).
        patients: Patient of each image, None where not known, see `auc_covariance`.

    Returns:
        Covariance of shape (models, models); nan where one patient has all images with a label, or all without
        it, or where no label counts. Of one label it is that of `auc_covariance`, up to a factor of the order of
        1 + 1 / patients where a patient has images both with and without it.

    >>> truth, score = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([[[0.1], [0.4], [0.35], [0.8]]])
    >>> label_auc_covariance(truth, score).round(6).item()
    0.125
    """
    unit = unit_of_images(patients, len(truth))
    counted = [column for column, one in enumerate(truth.T > 0) if one.any() and not one.all()]
    if not counted:
        return np.full((len(probabilities),) * 2, math.nan)
    parts = np.zeros(probabilities.shape[:2])
    for column in counted:
        there = truth[:, column] > 0
        of_label = _parts(there, probabilities[:, :, column]) / len(counted)
        for side in (there, ~there):
            of_label[:, side] *= _as_of_sample(unit[side])
        parts += of_label
    return _summed(parts, unit)


def delong_test(
    truth: npt.ArrayLike,
    scores: npt.ArrayLike,
    other_scores: npt.ArrayLike,
    *,
    patients: Sequence[str | None] | None = None,
) -> DelongTest:
    """Test whether two models' areas on the same images differ.

    Args:
        truth: Whether each image is of the positive class, (images,).
        scores: Scores of the model, (images,).
        other_scores: Scores of the other model, (images,).
        patients: Patient of each image, None where not known, see `auc_covariance`.

    Raises:
        EvaluationError: There is no positive or no negative image, or the shapes do not fit.

    >>> delong_test([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.1, 0.2, 0.8, 0.9]).p_value
    1.0
    """
    areas, covariance = auc_covariance(truth, np.stack([scores, other_scores]), patients=patients)
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # Rounding leaves a variance of about 1e-18, of either sign, for two models of the same ranks.
    error = math.sqrt(variance) if variance > 1e-15 or math.isnan(variance) else 0.0
    if error == 0.0:
        z = 0.0 if abs(difference) < 1e-12 else math.copysign(math.inf, difference)
    else:
        z = difference / error
    return DelongTest(
        auc=float(areas[0]),
        other_auc=float(areas[1]),
        difference=difference,
        low=difference - _Z_95 * error,
        high=difference + _Z_95 * error,
        z=z,
        p_value=math.erfc(abs(z) / math.sqrt(2)),
    )


def auc_interval(area: float, variance: float) -> tuple[float, float]:
    """The 95 % interval of one area, cut to 0 … 1; nan where the variance is.

    >>> auc_interval(0.75, math.nan)
    (nan, nan)
    """
    if math.isnan(variance):
        return math.nan, math.nan
    error = _Z_95 * math.sqrt(variance)
    return max(0.0, area - error), min(1.0, area + error)


def _placements(positive: npt.NDArray[np.bool_], score: _Floats) -> tuple[_Floats, _Floats]:
    """For each positive image the share of negatives below it, and for each negative that of positives above it.

    Equal scores count one half, which midranks give without looking at pairs.
    """
    positives, negatives = score[:, positive], score[:, ~positive]
    among_all = rankdata(score, axis=1)
    below = among_all[:, positive] - rankdata(positives, axis=1)
    above = positives.shape[1] - (among_all[:, ~positive] - rankdata(negatives, axis=1))
    return below / negatives.shape[1], above / positives.shape[1]


def _parts(positive: npt.NDArray[np.bool_], score: _Floats) -> _Floats:
    """What each image adds to each model's area above its mean, (models, images)."""
    of_positives, of_negatives = _placements(positive, score)
    areas = of_positives.mean(axis=1, keepdims=True)
    parts = np.zeros(score.shape)
    parts[:, positive] = (of_positives - areas) / positive.sum()
    parts[:, ~positive] = (of_negatives - areas) / (~positive).sum()
    return parts


def _as_of_sample(unit: npt.NDArray[np.int64]) -> float:
    """As of a sample's variance: the areas were estimated from the same images."""
    count = len(np.unique(unit))
    return math.sqrt(count / (count - 1)) if count > 1 else math.nan


def _summed(parts: _Floats, unit: npt.NDArray[np.int64]) -> _Floats:
    """Covariance of the areas whose parts these are, (models, models), by patient."""
    of_patients = _sums(parts, unit, int(unit.max()) + 1)
    covariance: _Floats = of_patients @ of_patients.T
    return covariance


def _clustered_covariance(
    of_positives: _Floats, of_negatives: _Floats, patient: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> _Floats:
    """Obuchowski's sums over patients; with one image per patient they are DeLong's.

    Args:
        of_positives: (models, positives), less the area.
        of_negatives: (models, negatives), less the area.
        patient: (positives,), the number of the patient.
        other: (negatives,), the same.
    """
    patients = int(max(patient.max(), other.max())) + 1
    from_positives = _sums(of_positives, patient, patients)
    from_negatives = _sums(of_negatives, other, patients)
    # A patient has a part in the covariance of both kinds only where it has images of both.
    across = _scatter(from_positives, from_negatives, patients)
    m, n = of_positives.shape[1], of_negatives.shape[1]
    covariance: _Floats = (
        _scatter(from_positives, from_positives, len(np.unique(patient))) / m**2
        + _scatter(from_negatives, from_negatives, len(np.unique(other))) / n**2
        + (across + across.T) / (m * n)
    )
    return covariance


def _sums(values: _Floats, patient: npt.NDArray[np.int64], patients: int) -> _Floats:
    return np.stack([np.bincount(patient, weights=row, minlength=patients) for row in values])


def _scatter(first: _Floats, second: _Floats, count: int) -> _Floats:
    scatter: _Floats = first @ second.T * (count / (count - 1) if count > 1 else math.nan)
    return scatter
