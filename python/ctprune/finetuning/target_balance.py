"""How much targets count where rare ones shall count as much as frequent ones, for `class_weights`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]


def balanced(targets: _Floats, train: _Floats) -> _Floats:
    """Weight of each target: the inverse frequency of its value in its column of the training targets.

    As scikit-learn's `class_weight="balanced"`: over the training targets of a column the weights have a mean of
    1, and those of each value the same sum. A value that is not among them has the weight 1.

    Args:
        targets: Labels, each in its column, or levels, (n, columns).
        train: Those that are trained on, (m, columns).

    Returns:
        float64 of shape (n, columns).

    >>> train = np.array([[0.0], [0.0], [0.0], [1.0]])
    >>> balanced(np.array([[1.0], [0.0]]), train).round(3).tolist()
    [[2.0], [0.667]]
    """
    found = np.ones(targets.shape)
    for column, known in enumerate(train.T):
        values, counts = np.unique(known, return_counts=True)
        for value, count in zip(values, counts, strict=True):
            found[targets[:, column] == value, column] = len(known) / (len(values) * count)
    return found
