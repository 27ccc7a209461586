"""Temperature scaling: one number that corrects overconfident and underconfident probabilities.

C. Guo et al., On Calibration of Modern Neural Networks (ICML 2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

_Floats = npt.NDArray[np.float64]

#: Temperatures are looked for from the first to the second: beyond them all probabilities are 0 and 1, or equal.
RANGE = (0.02, 50.0)

#: A probability of 0 has no logarithm; votes of neighbors can be 0.
_SMALLEST = 1e-12


def fit_temperature(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """The temperature with the smallest mean log loss on these images; above 1 for an overconfident model.

    Args:
        labels: Index of each image's class, (images,).
        probabilities: Probabilities of shape (images, classes).

    Returns:
        A number of `RANGE`; at its end where the loss falls all the way, such as for a model without a mistake.

    >>> sure = np.array([[0.99, 0.01]] * 3 + [[0.01, 0.99]])
    >>> fit_temperature([0, 0, 1, 1], sure) > 2
    True
    """
    label = np.asarray(labels)
    logits = _logits(probabilities)

    def loss(log_temperature: float) -> float:
        scaled = _normalized(logits / np.exp(log_temperature))
        return float(-scaled[np.arange(len(label)), label].mean())

    low, high = np.log(RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(min([low, high, float(found.x)], key=loss)))


def scale_by_temperature(probabilities: npt.ArrayLike, temperature: float) -> _Floats:
    """Softmax of the logarithms of the probabilities, divided by the temperature; the most probable class stays.

    >>> scale_by_temperature([[0.8, 0.2]], 2.0).round(3).tolist()
    [[0.667, 0.333]]
    """
    scaled: _Floats = np.exp(_normalized(_logits(probabilities) / temperature))
    return scaled


def _logits(probabilities: npt.ArrayLike) -> _Floats:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), _SMALLEST))


def _normalized(logits: _Floats) -> _Floats:
    """Logarithms of the softmax."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    normalized: _Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalized
