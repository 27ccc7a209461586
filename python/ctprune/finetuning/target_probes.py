"""Predictors of other targets than classes on frozen features: regressions and nearest neighbors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from ctprune.finetuning.heads import Head
from ctprune.finetuning.probes import STRENGTHS as CLASS_STRENGTHS
from ctprune.finetuning.probes import Pool, as_they_are, standard
from ctprune.finetuning.target_balance import balanced
from ctprune.finetuning.target_heads import LabelHead, LevelHead, NeighborMeanHead, NumberHead
from ctprune.finetuning.votes import Features
from ctprune.options.shared import ORDINAL, REGRESSION

#: Inverse strengths of the regularization that are tried, on standardized features and targets.
STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)

_ITERATIONS = 1000

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


def label_probe(
    train: tuple[Features, _Floats],
    select: tuple[Features, _Floats],
    *,
    weigh: bool = False,
    pool: Pool = as_they_are,
) -> FittedTarget:
    """A logistic regression for each label, all of one regularization: the one with the smallest log loss.

    Args:
        train: Features and labels, (n, features) and (n, labels); each label is on some images, not on all.
        select: The same of the selecting split.
        weigh: Whether images with and without a label weigh the same in total, as scikit-learn's
            `class_weight="balanced"` does, and in the log loss that chooses.
        pool: Turns the probabilities of its features into those of the units that its labels belong to.
    """
    features, labels = train
    mean, scale = standard(features)
    standardized = (features - mean) / scale
    balance = balanced(select[1], labels) if weigh else None
    balancing = "balanced" if weigh else None
    found = []
    for strength in CLASS_STRENGTHS:
        models = [LogisticRegression(C=strength, max_iter=_ITERATIONS, class_weight=balancing) for _ in labels.T]
        with warnings.catch_warnings():
            # It is in the result instead.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for model, one in zip(models, labels.T, strict=True):
                model.fit(standardized, one.astype(np.int64))
        weight = np.concatenate([model.coef_ for model in models]) / scale
        bias = np.concatenate([model.intercept_ for model in models]) - weight @ mean
        head = LabelHead(weight.astype(np.float32), bias.astype(np.float32))
        converged = all(bool((model.n_iter_ < _ITERATIONS).all()) for model in models)
        loss = log_loss(pool(head.probabilities(select[0])), select[1], balance)
        found.append(FittedTarget(head, strength, loss, converged))
    return min(found, key=lambda one: one.loss)


def level_probe(
    train: tuple[Features, _Floats], select: tuple[Features, _Floats], *, levels: int, weigh: bool = False
) -> FittedTarget:
    """An ordinal logistic regression with proportional odds (McCullagh 1980), fitted with CORAL's loss.

    One number from the features with a bias for each threshold between levels; the sum of the log losses of all
    thresholds and images, and half the square of the weights over the strength, is smallest. The strength with the
    smallest loss on the selecting split is taken.

    Args:
        train: Features and levels, (n, features) and (n, 1).
        select: The same of the selecting split.
        levels: Number of levels.
        weigh: Whether all levels weigh the same in total, see `balanced`, in the fit and in the loss that chooses.
    """
    features, mine = train
    mean, scale = standard(features)
    standardized = (features - mean) / scale
    passed = thresholds_passed(mine, levels)
    counts = balanced(mine, mine) if weigh else np.ones((len(mine), 1))
    balance = balanced(select[1], mine) if weigh else None
    found = []
    for strength in CLASS_STRENGTHS:
        weight, bias, converged = _proportional_odds(standardized, passed, counts, strength)
        scaled = weight[None] / scale
        head = LevelHead(scaled.astype(np.float32), (bias - scaled @ mean).astype(np.float32))
        loss = level_loss(head.probabilities(select[0]), select[1], balance)
        found.append(FittedTarget(head, strength, loss, converged))
    return min(found, key=lambda one: one.loss)


def _proportional_odds(
    features: _Floats, passed: _Floats, counts: _Floats, strength: float
) -> tuple[_Floats, _Floats, bool]:
    """Weights, biases and whether the fit converged; `counts` is how much each image counts, (n, 1)."""
    count = features.shape[1]

    def loss(x: _Floats) -> tuple[float, _Floats]:
        weight, bias = x[:count], x[count:]
        logits = (features @ weight)[:, None] + bias
        losses = (counts * np.logaddexp(0, logits)).sum() - (counts * passed * logits).sum()
        value = losses + weight @ weight / (2 * strength)
        slope = counts * (expit(logits) - passed)
        return float(value), np.concatenate(
            [features.T @ slope.sum(axis=1) + weight / strength, slope.sum(axis=0)]
        )

    start = np.zeros(count + passed.shape[1])
    fit = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS, "ftol": 1e-12})
    return fit.x[:count], fit.x[count:], bool(fit.success)


def thresholds_passed(levels: _Floats, count: int) -> _Floats:
    """For each threshold between `count` levels 1 where a level lies above it, (n, count - 1).

    >>> thresholds_passed(np.array([[0.0], [2.0]]), 3).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    return (levels > np.arange(count - 1)).astype(np.float64)


def log_loss(probabilities: _Floats, truth: _Floats, balance: _Floats | None = None) -> float:
    """Mean log loss of binary labels, over images and columns, each times how much it counts, see `balanced`."""
    right = np.where(truth > 0, probabilities, 1 - probabilities)
    losses = -np.log(np.maximum(right, 1e-12))
    return float((losses if balance is None else losses * balance).mean())


def level_loss(probabilities: _Floats, truth: _Floats, balance: _Floats | None = None) -> float:
    """Mean log loss of passing each threshold, from probabilities, (n, levels), and true levels, (n, 1)."""
    above = 1 - probabilities.cumsum(axis=1)[:, :-1]
    return log_loss(above, thresholds_passed(truth, probabilities.shape[1]), balance)


def target_loss(
    target: str, predicted: _Floats, truth: _Floats, spread: _Floats, balance: _Floats | None
) -> float:
    """The loss that chooses an epoch or a strength.

    Args:
        target: What is predicted: `multi-label`, `ordinal` or `regression`.
        predicted: What a head predicts, (n, columns).
        truth: Targets, see `ctprune.tasks.targets.targets_of`.
        spread: Standard deviation of the training numbers of a regression, (1,).
        balance: How much each label or level counts, see `balanced`; None where all count alike.
    """
    if target == REGRESSION:
        return squared_loss(predicted, truth, spread)
    return (level_loss if target == ORDINAL else log_loss)(predicted, truth, balance)


def neighbor_mean_probe(
    train: tuple[Features, _Floats],
    select: tuple[Features, _Floats],
    *,
    neighbors: int,
    numbers: bool,
    pool: Pool = as_they_are,
) -> FittedTarget:
    """The weighted mean of numbers, or of binary labels, of the nearest training images by cosine."""
    head = NeighborMeanHead(*train, neighbors)
    predicted = pool(head.probabilities(select[0]))
    spread = standard(train[1])[1]
    loss = squared_loss(predicted, select[1], spread) if numbers else log_loss(predicted, select[1])
    return FittedTarget(head, None, loss)


def squared_loss(predicted: _Floats, truth: _Floats, spread: _Floats) -> float:
    """Mean squared error in units of the training numbers' standard deviation."""
    return float((((predicted - truth) / spread) ** 2).mean())
