"""How the images of a unit become one prediction: means, the largest scores, or attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.finetuning.attention import Attention
from ctprune.finetuning.bags import Bags
from ctprune.finetuning.heads import Head
from ctprune.finetuning.votes import Features
from ctprune.options.shared import CLASSES, MULTI_LABEL

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pooling:
    """Turns the features of images into the probabilities of units.

    With `mean`, a head on frozen features gets each unit's mean feature; if the whole network was trained, the
    probabilities are averaged. With `top-k`, the score of a class is the mean of its k largest probabilities among
    the unit's images (of all images, if there are fewer). With two classes, the positive one is scored and the
    other gets the rest; with more, each class is scored, and the scores are divided by their sum. Labels of which
    a unit can have several are scored each by itself; levels and numbers have no scores. With `attention`, the
    head itself pools.

    Attributes:
        pool: `mean`, `top-k` or `attention`; None where each image is a unit.
        frozen: Whether the features are of a frozen backbone.
        top_k: How many probabilities are averaged; None for other kinds of pooling.
        positive: Index of the positive class of two; None with more classes.
        several: Whether a unit can have several labels, each with its own probability.
    """

    pool: str | None
    frozen: bool
    top_k: int | None
    positive: int | None
    several: bool = False

    @classmethod
    def of(
        cls,
        *,
        mode: str,
        pool: str | None,
        top_k: int | None,
        positive: str | None,
        classes: Sequence[str],
        target: str = CLASSES,
    ) -> Pooling:
        """As the options of a fine-tuning say."""
        index = None if positive is None else list(classes).index(positive)
        return cls(pool, mode != "finetune", top_k, index, target == MULTI_LABEL)

    def inputs(self, features: Features, bags: Bags) -> tuple[Features, Bags]:
        """The input of a head, and which of its rows belong to each unit.

        Args:
            features: Features of images, float32 of shape (images, features).
            bags: Rows of each unit's images.
        """
        if self.pool == "mean" and self.frozen:
            return mean_of_bags(features, bags).astype(np.float32), list(np.arange(len(bags))[:, None])
        return features, bags

    def scores(self, probabilities: _Floats, bags: Bags) -> _Floats:
        """Probabilities of units, (units, classes), or numbers, from those of the head's input."""
        if self.pool == "top-k":
            k = self.top_k or 1
            return (
                largest_of_bags(probabilities, bags, k)
                if self.several
                else top_of_bags(probabilities, bags, k, self.positive)
            )
        if self.pool == "mean" and not self.frozen:
            return mean_of_bags(probabilities, bags)
        return probabilities

    def probabilities(self, head: Head, features: Features, bags: Bags) -> _Floats:
        """What the head predicts for units, float64 of shape (units, columns)."""
        if isinstance(head, Attention):
            return head.of_bags(features, bags)
        inputs, parts = self.inputs(features, bags)
        return self.scores(head.probabilities(inputs), parts)


def mean_of_bags(values: npt.NDArray[np.floating], bags: Bags) -> _Floats:
    """Mean of each bag's rows, float64 of shape (bags, columns).

    >>> mean_of_bags(np.array([[1.0], [3.0], [5.0]]), [np.array([0, 1]), np.array([2])]).tolist()
    [[2.0], [5.0]]
    """
    found = np.empty((len(bags), values.shape[1]))
    for index, rows in enumerate(bags):
        found[index] = values[rows].mean(axis=0, dtype=np.float64)
    return found


def largest_of_bags(values: _Floats, bags: Bags, k: int) -> _Floats:
    """Mean of the k largest values in each column of each bag's rows, float64 of shape (bags, columns).

    >>> largest_of_bags(np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7]]), [np.array([0, 1, 2])], 2).tolist()
    [[0.7, 0.6]]
    """
    return np.stack([np.sort(values[rows], axis=0)[-k:].mean(axis=0) for rows in bags])


def top_of_bags(probabilities: _Floats, bags: Bags, k: int, positive: int | None) -> _Floats:
    """Probabilities of bags by the k largest of each class; see `Pooling`.

    Args:
        probabilities: Probabilities of images, float64 of shape (images, classes).
        bags: Rows of each bag's images.
        k: How many are averaged.
        positive: Index of the positive class of two; None with more.

    >>> top_of_bags(np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7]]), [np.array([0, 1, 2])], 2, 1).tolist()
    [[0.4, 0.6]]
    """
    largest = largest_of_bags(probabilities, bags, k)
    if positive is None:
        shares: _Floats = largest / largest.sum(axis=1, keepdims=True)
        return shares
    found = np.empty_like(largest)
    found[:, positive] = largest[:, positive]
    found[:, 1 - positive] = 1 - largest[:, positive]
    return found
