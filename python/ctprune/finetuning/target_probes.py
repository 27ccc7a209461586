"""Predictors of other targets than classes on frozen features: ridge regression and nearest neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge

from ctprune.finetuning.heads import Head
from ctprune.finetuning.target_heads import NeighborMeanHead, NumberHead
from ctprune.finetuning.votes import Features

#: Inverse strengths of the regularization that are tried, on standardized features and targets.
STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FittedTarget:
    """A fitted head and its loss on the selecting split.

    Attributes:
        head: The predictor.
        strength: Inverse strength of the regularization that was chosen; None for neighbors.
        loss: Loss on the selecting split.
        converged: Whether the fit converged.
    """

    head: Head
    strength: float | None
    loss: float
    converged: bool = True


def ridge_probe(train: tuple[Features, _Floats], select: tuple[Features, _Floats]) -> FittedTarget:
    """Ridge regression of standardized numbers (Hoerl and Kennard 1970).

    The regularization with the smallest squared error on the selecting split is taken, the strongest among equals.

    Args:
        train: Features and numbers, (n, features) and (n, 1).
        select: The same of the selecting split.
    """
    features, numbers = train
    mean, scale = standard(features)
    center, spread = standard(numbers)
    standardized = (features - mean) / scale
    found = []
    for strength in STRENGTHS:
        model = Ridge(alpha=1 / strength)
        model.fit(standardized, ((numbers - center) / spread)[:, 0])
        weight = model.coef_.reshape(1, -1) / scale
        bias = model.intercept_ - weight @ mean
        head = NumberHead(
            (weight * spread[:, None]).astype(np.float32), (bias * spread + center).astype(np.float32)
        )
        found.append(FittedTarget(head, strength, squared_loss(head.probabilities(select[0]), select[1], spread)))
    return min(found, key=lambda one: one.loss)


def neighbor_mean_probe(
    train: tuple[Features, _Floats], select: tuple[Features, _Floats], *, neighbors: int
) -> FittedTarget:
    """The weighted mean of the nearest training images by cosine."""
    head = NeighborMeanHead(*train, neighbors)
    loss = squared_loss(head.probabilities(select[0]), select[1], standard(train[1])[1])
    return FittedTarget(head, None, loss)


def squared_loss(predicted: _Floats, truth: _Floats, spread: _Floats) -> float:
    """Mean squared error in units of the training numbers' standard deviation."""
    return float((((predicted - truth) / spread) ** 2).mean())


def standard(values: npt.NDArray[np.floating]) -> tuple[_Floats, _Floats]:
    """Mean and standard deviation of each column; 1 where a column never changes."""
    spread = values.std(0, dtype=np.float64)
    return values.mean(0, dtype=np.float64), np.where(spread > 0, spread, 1.0)
