"""The Brier score: the mean squared error of probabilities.

G. W. Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78 (1950).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.pooled import pooled
from ctprune.evaluation.predictions import checked_labels, checked_probabilities

_Floats = npt.NDArray[np.float64]


def brier_scores(labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: Sequence[str]) -> _Floats:
    """The score of each image: with two classes the squared error of the positive one's probability, from 0 to 1.

    With more classes the squared errors are summed over them, from 0 to 2, as scikit-learn does.

    Args:
        labels: Index of each image's class, (images,).
        probabilities: Probabilities of shape (images, classes), or (seeds, images, classes).
        classes: Names of the classes.

    Returns:
        Scores of shape (seeds, images).

    Raises:
        EvaluationError: Labels or probabilities are not valid.

    >>> brier_scores([0, 1], [[1.0, 0.0], [0.5, 0.5]], ["healthy", "ill"]).tolist()
    [[0.0, 0.25]]
    """
    label = checked_labels(labels, classes)
    probability = checked_probabilities(probabilities, len(label), classes)
    errors = ((probability - np.eye(len(classes))[label]) ** 2).sum(axis=2)
    # Both of two probabilities have the same error.
    halved: _Floats = errors / 2 if len(classes) == 2 else errors
    return halved


def pooled_brier(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
) -> dict[str, float]:
    """Mean and standard deviation over seeds, and the 95 % interval as of `ctprune.evaluation.pooled.pooled`.

    >>> found = pooled_brier([0, 1] * 6, [[0.9, 0.1], [0.4, 0.6]] * 6, ["healthy", "ill"])
    >>> round(found["mean"], 3), found["low"] < found["mean"] < found["high"]
    (0.085, True)
    """
    scores = brier_scores(labels, probabilities, classes)

    def measures(weights: _Floats) -> dict[str, _Floats]:
        return {"brier": scores @ weights.T / weights.sum(axis=1)}

    return pooled(measures, checked_labels(labels, classes), classes, patients=patients)["brier"]
