"""From features to probabilities: a linear layer, nearest neighbors, or attention. Saved as safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.neighbors import KNeighborsClassifier

from ctprune.errors import WeightsError
from ctprune.finetuning.attention import AttentionHead
from ctprune.finetuning.linear_layer import LinearLayer, softmax
from ctprune.finetuning.target_heads import attention_head, target_head
from ctprune.finetuning.votes import Features, votes
from ctprune.networks.weights_file import write_weights


class Head(Protocol):
    """The part after the backbone: predicts from features."""

    def probabilities(self, features: Features) -> npt.NDArray[np.float64]:
        """Probability of each class, float64 of shape (n, classes), rows sum to 1; for a regression, the number.

        With several labels, each has its own probability, and rows have any sum.
        """

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is saved, by name."""


class LinearHead(LinearLayer):
    """Softmax of a linear layer with an output for each class."""

    def probabilities(self, features: Features) -> npt.NDArray[np.float64]:
        """Probability of each class."""
        return softmax(self.outputs(features))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is saved."""
        return {"weight": self.weight, "bias": self.bias}


@dataclass(frozen=True, eq=False)
class NeighborHead:
    """Votes of the training images with the most similar features.

    Attributes:
        features: Features of the training images, float32 of shape (n, features).
        labels: Class of each training image, int64 of shape (n,).
        neighbors: Number of neighbors that vote.
        classes: Number of classes.
    """

    features: Features
    labels: npt.NDArray[np.int64]
    neighbors: int
    classes: int

    def probabilities(self, features: Features) -> npt.NDArray[np.float64]:
        """Share of the votes for each class, each vote weighted with exp(cosine / temperature)."""
        voters = min(self.neighbors, len(self.labels))
        model = KNeighborsClassifier(voters, metric="cosine", algorithm="brute", weights=votes)
        model.fit(self.features, self.labels)
        found = np.zeros((len(features), self.classes))
        if len(features):
            found[:, model.classes_] = model.predict_proba(features)
        return found

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is saved."""
        numbers = np.array([self.neighbors, self.classes], np.int64)
        return {"features": self.features, "labels": self.labels, "numbers": numbers}


def save_head(head: Head, file: Path) -> None:
    """Write a head, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors = {name: np.ascontiguousarray(array) for name, array in head.tensors().items()}
    write_weights(file, lambda beside: save_file(tensors, beside))


def load_head(file: Path) -> Head:
    """Read a head.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    try:
        tensors = load_file(file)
        if "attention" in tensors:
            return attention_head(tensors) or AttentionHead(**tensors)
        if "weight" in tensors:
            return LinearHead(tensors["weight"], tensors["bias"])
        other = target_head(tensors)
        if other is not None:
            return other
        neighbors, classes = tensors["numbers"].tolist()
        return NeighborHead(tensors["features"], tensors["labels"], neighbors, classes)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{file}: expected the head of a classifier: {error}") from None
