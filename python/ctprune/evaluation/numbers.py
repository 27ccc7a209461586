"""Measures of predicted numbers for many weightings of the same images at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.scales import CORRELATION, ERROR, EXPLAINED, Scale

_Floats = npt.NDArray[np.float64]

#: Measures of a regression in the order in which they are shown, with the scale of their intervals.
NUMBER_SCALES: dict[str, Scale | None] = {
    "mae": ERROR,
    "rmse": ERROR,
    "r2": EXPLAINED,
    "spearman": CORRELATION,
}

#: A variance below this share of the mean square is rounding.
_NO_VARIANCE = 1e-12


def number_measures(truth: _Floats, predicted: _Floats, weights: _Floats) -> dict[str, _Floats]:
    """Mean absolute error, root mean squared error, R² and Spearman's rank correlation.

    R² is the share of the variance of these images that is explained: 1 − squared error / variance, below 0 where
    predictions are worse than the mean. Ties have the mean of their ranks.

    Args:
        truth: True numbers, (images, 1).
        predicted: Predicted numbers, (images, 1).
        weights: How often each image counts, (weightings, images).

    Returns:
        (weightings,) by name, equal to scikit-learn's and SciPy's of the images so repeated; `r2` and `spearman`
        are nan where all true numbers (or for `spearman` all predictions) are equal.

    >>> found = number_measures(np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [3.0], [5.0]]), np.ones((1, 3)))
    >>> {name: round(float(values[0]), 3) for name, values in found.items()}
    {'mae': 0.667, 'rmse': 0.816, 'r2': 0.571, 'spearman': 1.0}
    """
    true, guess = truth[:, 0], predicted[:, 0]
    total = weights.sum(axis=1)
    squared = weights @ (true - guess) ** 2 / total
    variance = _moments(true[None], true[None], weights, total)
    with np.errstate(invalid="ignore", divide="ignore"):
        explained = np.where(variance > _NO_VARIANCE * (weights @ true**2 / total), 1 - squared / variance, np.nan)
    return {
        "mae": weights @ np.abs(true - guess) / total,
        "rmse": np.sqrt(squared),
        "r2": explained,
        "spearman": _spearman(true, guess, weights, total),
    }


def _spearman(true: _Floats, guess: _Floats, weights: _Floats, total: _Floats) -> _Floats:
    """Pearson's correlation of mean ranks."""
    first, second = _ranks(true, weights), _ranks(guess, weights)
    spreads = _moments(first, first, weights, total) * _moments(second, second, weights, total)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = _moments(first, second, weights, total) / np.sqrt(spreads)
    # Ranks are halves of whole numbers: equal ones leave no more than rounding.
    return np.where(spreads > _NO_VARIANCE, found, np.nan)


def _ranks(values: _Floats, weights: _Floats) -> _Floats:
    """Mean rank of each image among the repeated ones, (weightings, images)."""
    _, inverse = np.unique(values, return_inverse=True)
    counts = np.zeros((len(weights), int(inverse.max()) + 1))
    np.add.at(counts.T, inverse, weights.T)
    found: _Floats = (counts.cumsum(axis=1) - counts / 2 + 0.5)[:, inverse]
    return found


def _moments(first: _Floats, second: _Floats, weights: _Floats, total: _Floats) -> _Floats:
    """Covariance of two values of each image, (1 or weightings, images), for each weighting."""
    means = [(weights * one).sum(axis=1, keepdims=True) / total[:, None] for one in (first, second)]
    found: _Floats = (weights * (first - means[0]) * (second - means[1])).sum(axis=1) / total
    return found
