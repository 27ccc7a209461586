"""Measures of ordered levels for many weightings of the same images at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.label_measures import label_measures
from ctprune.evaluation.scales import CORRELATION, ERROR, FRACTION, Scale

_Floats = npt.NDArray[np.float64]

#: Measures of levels in the order in which they are shown, with the scale of their intervals.
LEVEL_SCALES: dict[str, Scale | None] = {
    "quadratic_kappa": CORRELATION,
    "mae_levels": ERROR,
    "accuracy": FRACTION,
    "auc": FRACTION,
}

#: What probabilities are rounded by: a median that lies between two levels is the lower one.
_ROUNDING = 1e-9


def predicted_levels(probabilities: _Floats) -> npt.NDArray[np.int64]:
    """The median level of each image: the lowest one that with those below it has a probability of one half.

    >>> predicted_levels(np.array([[0.4, 0.3, 0.3], [0.6, 0.2, 0.2]])).tolist()
    [1, 0]
    """
    found: npt.NDArray[np.int64] = (probabilities.cumsum(axis=1)[:, :-1] < 0.5 - _ROUNDING).sum(axis=1)
    return found


def above_thresholds(truth: _Floats, probabilities: _Floats) -> tuple[_Floats, _Floats]:
    """Whether each image lies above each threshold, and the probability of it, (images, levels - 1) each."""
    count = probabilities.shape[1]
    above = np.clip(1 - probabilities.cumsum(axis=1)[:, :-1], 0, 1)
    return (truth > np.arange(count - 1)).astype(np.float64), above


def level_measures(truth: _Floats, predicted: _Floats, weights: _Floats) -> dict[str, _Floats]:
    """Cohen's kappa with quadratic weights, mean absolute error in levels, accuracy, mean AUC of thresholds.

    Source of kappa: J. Cohen, Weighted kappa, Psychological Bulletin 70 (1968).

    Args:
        truth: Index of each image's level, (images, 1).
        predicted: Probability of each level, (images, levels).
        weights: How often each image counts, (weightings, images).

    Returns:
        (weightings,) by name, equal to scikit-learn's of the images so repeated; kappa is nan where true and
        predicted levels are all one, the AUC where no threshold has images on both sides.
    """
    count = predicted.shape[1]
    level, guess = truth[:, 0].astype(np.int64), predicted_levels(predicted)
    total = weights.sum(axis=1)
    distance = np.abs(level - guess).astype(np.float64)
    return {
        "quadratic_kappa": _quadratic_kappa(level, guess, weights, count),
        "mae_levels": weights @ distance / total,
        "accuracy": weights @ (distance == 0) / total,
        "auc": label_measures(*above_thresholds(truth, predicted), weights)["auc"],
    }


def _quadratic_kappa(
    level: npt.NDArray[np.int64], guess: npt.NDArray[np.int64], weights: _Floats, count: int
) -> _Floats:
    squares = (np.arange(count)[:, None] - np.arange(count)) ** 2
    of_truth, of_guess = weights @ np.eye(count)[level], weights @ np.eye(count)[guess]
    by_chance = np.einsum("wi,wj,ij->w", of_truth, of_guess, squares) / weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = 1 - weights @ (level - guess) ** 2 / by_chance
    return np.where(by_chance > 0, found, np.nan)
