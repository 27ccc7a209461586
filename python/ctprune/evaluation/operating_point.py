"""A threshold on the positive class's probability, chosen on one split and used on another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]


def best_threshold(truth: npt.ArrayLike, score: npt.ArrayLike) -> float | None:
    """The threshold with the largest sensitivity + specificity (Youden 1950); scores that reach it are positive.

    Thresholds lie halfway between neighboring scores, away from every image's score; of equals
    the one nearest to one half is taken.

    Args:
        truth: Whether each image is of the positive class, (images,).
        score: Probability of the positive class, (images,).

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
        truth: Whether each image is of the positive class, (images,).
        reached: Whether the score reaches the threshold, (seeds, images).
        weights: How often each image counts, (weightings, images).

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
