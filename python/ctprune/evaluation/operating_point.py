"""A threshold on the positive class's probability, chosen on one split and used on another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]


def best_threshold(truth: npt.ArrayLike, score: npt.ArrayLike) -> float | None:
    """Where sensitivity + specificity is largest (Youden 1950): positive is what reaches it.

    Thresholds lie halfway between neighboring scores, so that none of these images decides by a hair; of equals
    the one nearest to one half is taken.

    Args:
        truth: (images,), true for the positive class.
        score: (images,), the positive class's probability.

    Returns:
        The threshold; None where a class has no image or all scores are equal, so that there is nothing to choose.

    >>> best_threshold([False, False, True, True], [0.1, 0.3, 0.2, 0.9])
    0.6
    >>> best_threshold([True, True], [0.1, 0.3]) is None
    True
    """
    positive = np.asarray(truth).astype(bool)
    scores = np.asarray(score, np.float64)
    levels = np.unique(scores)
    if positive.all() or not positive.any() or len(levels) < 2:
        return None
    thresholds = (levels[:-1] + levels[1:]) / 2
    # What lies below each threshold, of the sorted scores: no matrix of thresholds by images.
    below = [np.searchsorted(np.sort(scores[of]), thresholds) / of.sum() for of in (~positive, positive)]
    youden = below[0] - below[1]
    # Sums of fractions can differ in the last bit.
    best = thresholds[youden >= youden.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def measures_at(
    truth: npt.NDArray[np.bool_], reached: npt.NDArray[np.bool_], weights: _Floats
) -> dict[str, _Floats]:
    """Measures of a decision for each seed and weighting: (seeds, weightings) by name.

    Args:
        truth: (images,), true for the positive class.
        reached: (seeds, images), true where the score reaches the threshold.
        weights: (weightings, images): how often each image counts.

    Returns:
        `sensitivity`, `specificity`, `precision`, `f1`, `accuracy`, `balanced_accuracy`; nan where a class has no
        image, and precision and F1 of 0 where nothing reaches the threshold.
    """
    hits, misses = reached & truth, ~reached & truth
    alarms, rest = reached & ~truth, ~reached & ~truth
    tp, fn, fp, tn = (one.astype(np.float64) @ weights.T for one in (hits, misses, alarms, rest))
    with np.errstate(invalid="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "precision": tp / np.maximum(tp + fp, 1),
        "f1": 2 * tp / np.maximum(2 * tp + fp + fn, 1),
        "accuracy": (tp + tn) / weights.sum(axis=1),
        "balanced_accuracy": (sensitivity + specificity) / 2,
    }
