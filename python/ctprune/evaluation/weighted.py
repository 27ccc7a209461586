"""The measures of `metrics.py` for many weightings of the same images at once: what the bootstrap needs.

A resample is a number of times for each image, so it need not be drawn out: all measures are sums over images, and
those of ranks are sums over images in order of their score.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.metrics import CALIBRATION_BINS, METRICS, calibration_bin

_Floats: TypeAlias = npt.NDArray[np.float64]


def weighted_metrics(
    label: npt.NDArray[np.int64], probability: _Floats, weights: _Floats, positive: int | None
) -> dict[str, _Floats]:
    """Each of `METRICS` for each weighting.

    Args:
        label: Index of each image's class, (images,), checked.
        probability: Probabilities of shape (images, classes), checked.
        weights: How often each image counts, (weightings, images).
        positive: Index of the positive class, from `positive_class`; None with more than two classes.

    Returns:
        (weightings,) by name; equal to `classification_metrics` of the images so repeated.
    """
    classes = probability.shape[1]
    predicted = probability.argmax(axis=1)
    cells = np.eye(classes * classes)[label * classes + predicted]
    confusion = (weights @ cells).reshape(-1, classes, classes)
    support = confusion.sum(axis=2)
    total = support.sum(axis=1)
    averaged = range(classes) if positive is None else [positive]
    # Without a weight a class has no value of its own and does not count in the mean over classes.
    there = np.stack([(support[:, c] > 0) & (support[:, c] < total) for c in averaged])
    parts = [_one_against_rest(confusion, c) | _ranked(label == c, probability[:, c], weights) for c in averaged]
    found = {name: _mean_where(np.stack([part[name] for part in parts]), there) for name in parts[0]}
    recall = _ratio(confusion.diagonal(axis1=1, axis2=2), support)
    several = (support > 0).sum(axis=1) > 1
    found["balanced_accuracy"] = _mean_where(recall.T, (support > 0).T & several)
    found["accuracy"] = confusion.trace(axis1=1, axis2=2) / total
    found["calibration_error"] = weighted_calibration_error(label, probability, weights) / total
    return {name: found[name] for name in METRICS}


def _one_against_rest(confusion: _Floats, c: int) -> dict[str, _Floats]:
    hits = confusion[:, c, c]
    support = confusion[:, c, :].sum(axis=1)
    predicted = confusion[:, :, c].sum(axis=1)
    rest = confusion.sum(axis=(1, 2)) - support
    return {
        "f1": _ratio(2 * hits, support + predicted),
        "precision": _ratio(hits, predicted),
        "sensitivity": _ratio(hits, support),
        "specificity": _ratio(rest - (predicted - hits), rest),
    }


def _ranked(truth: npt.NDArray[np.bool_], score: _Floats, weights: _Floats) -> dict[str, _Floats]:
    """Area under the ROC curve and average precision: sums over images from the highest score down."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    # Images of one score come in together, as one step of the curve.
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    in_order = weights[:, order]
    hits, misses = in_order * truth[order], in_order * ~truth[order]
    if len(starts) < len(score):
        hits, misses = (np.add.reduceat(counts, starts, axis=1) for counts in (hits, misses))
    hits_so_far, misses_so_far = hits.cumsum(axis=1), misses.cumsum(axis=1)
    area = (misses * (hits_so_far - hits / 2)).sum(axis=1)
    precision = _ratio(hits_so_far, hits_so_far + misses_so_far)
    return {
        "auc": _ratio(area, hits_so_far[:, -1] * misses_so_far[:, -1]),
        "average_precision": _ratio((hits * precision).sum(axis=1), hits_so_far[:, -1]),
    }


def weighted_calibration_error(label: npt.NDArray[np.int64], probability: _Floats, weights: _Floats) -> _Floats:
    """Times the sum of the weights: (weightings,)."""
    confidence = probability.max(axis=1)
    gap = (probability.argmax(axis=1) == label) - confidence
    in_bins = weights @ (np.eye(CALIBRATION_BINS)[calibration_bin(confidence)] * gap[:, None])
    return np.asarray(np.abs(in_bins).sum(axis=1))


def _ratio(above: _Floats, below: _Floats) -> _Floats:
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0)


def _mean_where(values: _Floats, there: npt.NDArray[np.bool_]) -> _Floats:
    """Mean over the first axis of the values that are there; nan where none is."""
    count = there.sum(axis=0)
    return np.where(count > 0, np.where(there, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
