"""Measures of several labels for many weightings of the same images at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.scales import FRACTION, Scale
from ctprune.evaluation.weighted import weighted_metrics

_Floats = npt.NDArray[np.float64]

#: Measures of labels in the order in which they are shown, with the scale of their intervals.
LABEL_SCALES: dict[str, Scale | None] = {
    "auc": FRACTION,
    "average_precision": FRACTION,
    "f1": FRACTION,
    "sensitivity": FRACTION,
    "specificity": FRACTION,
}


def label_measures(truth: _Floats, predicted: _Floats, weights: _Floats) -> dict[str, _Floats]:
    """Means over the labels of each one's measures: whether an image has it, against whether it has not.

    A label is predicted where its probability is above one half.

    Args:
        truth: 1 where an image has a label, (images, labels).
        predicted: Probability of each label, (images, labels).
        weights: How often each image counts, (weightings, images).

    Returns:
        (weightings,) by name, equal to scikit-learn's of the images so repeated, with `average="macro"`, over the
        labels that some images have and some have not; nan where there is none.

    >>> truth, predicted = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.9, 0.6], [0.2, 0.7]])
    >>> found = label_measures(truth, predicted, np.ones((1, 2)))
    >>> {name: float(values[0]) for name, values in found.items() if name != "f1"}
    {'auc': 1.0, 'average_precision': 1.0, 'sensitivity': 1.0, 'specificity': 0.5}
    """
    parts = []
    for there, probability in zip(truth.T > 0, predicted.T, strict=True):
        both = np.stack([1 - probability, probability], axis=1)
        parts.append(weighted_metrics(there.astype(np.int64), both, weights, 1))
    return {name: _mean(np.stack([part[name] for part in parts])) for name in LABEL_SCALES}


def _mean(values: _Floats) -> _Floats:
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    return np.where(count > 0, np.where(there, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
