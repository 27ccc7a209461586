"""Classifiers on frozen features: logistic regression and nearest neighbors, both of scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ctprune.finetuning.heads import Head, LinearHead, NeighborHead
from ctprune.finetuning.votes import Features

#: Inverse strengths of the regularization that are tried, on standardized features.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)

_ITERATIONS = 1000

Labels = npt.NDArray[np.int64]

_Floats = npt.NDArray[np.float64]

#: Turns the probabilities of a head's input into those of the units that are judged, see `Pooling.scores`.
Pool = Callable[[_Floats], _Floats]


def as_they_are(probabilities: _Floats) -> _Floats:
    """Each is judged by itself."""
    return probabilities


@dataclass(frozen=True)
class FittedProbe:
    """A fitted head and its accuracy on the selecting split.

    Attributes:
        head: The classifier.
        strength: Inverse strength of the regularization that was chosen; None for neighbors.
        accuracy: Accuracy on the selecting split.
        converged: Whether the regression converged.
        best_epoch: Number of the epoch that was taken, from 1; None without epochs.
        history: A row for each epoch.
    """

    head: Head
    strength: float | None
    accuracy: float
    converged: bool = True
    best_epoch: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def linear_probe(
    train: tuple[Features, Labels],
    select: tuple[Features, Labels],
    *,
    classes: int,
    class_weights: bool,
    pool: Pool = as_they_are,
) -> FittedProbe:
    """Logistic regression whose regularization is chosen on the selecting split: by accuracy, then log loss.

    Among equals, the strongest regularization is taken. With `pool`, the labels of `select` belong to the units
    that it makes from the probabilities of the features.
    """
    features, labels = train
    mean, scale = standard(features)
    standardized = (features - mean) / scale
    found: list[tuple[tuple[float, float], FittedProbe]] = []
    for strength in STRENGTHS:
        model = LogisticRegression(
            C=strength, max_iter=_ITERATIONS, class_weight="balanced" if class_weights else None
        )
        with warnings.catch_warnings():
            # The result says whether it converged.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(standardized, labels)
        head = _folded(model, mean, scale, classes)
        accuracy, loss = quality(pool(head.probabilities(select[0])), select[1])
        converged = bool((model.n_iter_ < _ITERATIONS).all())
        found.append(((-accuracy, loss), FittedProbe(head, strength, accuracy, converged)))
    return min(found, key=lambda item: item[0])[1]


def neighbor_probe(
    train: tuple[Features, Labels],
    select: tuple[Features, Labels],
    *,
    classes: int,
    neighbors: int,
    pool: Pool = as_they_are,
) -> FittedProbe:
    """Weighted votes of the nearest training images by cosine (Wu et al. 2018)."""
    head = NeighborHead(train[0], train[1], neighbors, classes)
    return FittedProbe(head, None, quality(pool(head.probabilities(select[0])), select[1])[0])


def _folded(
    model: LogisticRegression, mean: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], classes: int
) -> LinearHead:
    """The regression with the standardization in its weights, as one linear layer and softmax."""
    coefficients, intercepts = model.coef_, model.intercept_
    if classes == 2:
        # One sigmoid is a softmax whose first logit is zero.
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
    weight = coefficients / scale
    return LinearHead(weight.astype(np.float32), (intercepts - weight @ mean).astype(np.float32))


def standard(values: npt.NDArray[np.floating]) -> tuple[_Floats, _Floats]:
    """Mean and standard deviation of each column; 1 for a constant column, which carries no information."""
    spread = values.std(0, dtype=np.float64)
    return values.mean(0, dtype=np.float64), np.where(spread > 0, spread, 1.0)


def quality(probabilities: _Floats, labels: Labels) -> tuple[float, float]:
    """Accuracy and mean log loss of probabilities, (n, classes)."""
    of_label = probabilities[np.arange(len(labels)), labels]
    accuracy = float((probabilities.argmax(1) == labels).mean())
    return accuracy, float(-np.log(np.maximum(of_label, 1e-12)).mean())
