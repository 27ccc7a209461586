"""Gated attention over the features of a unit's images (Ilse, Tomczak and Welling 2018, equations 7 and 9).

    a = softmax over images of w · (tanh(V h + b) ⊙ sigmoid(U h + c))
    z = Σ a h
    probabilities = softmax(W z + d)

where h are an image's features, standardized by the training images. Other targets than classes have another layer
after z.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.finetuning.linear_layer import softmax

_Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Attention(ABC):
    """Pools the features of a unit's images, and predicts from them.

    Attributes:
        mean: Mean of the training images' features, float64 of shape (features,).
        scale: Their standard deviations, 1 where a feature never changes, float64 of shape (features,).
        content_weight: V, float32 of shape (hidden, features).
        content_bias: b, float32 of shape (hidden,).
        gate_weight: U, float32 of shape (hidden, features).
        gate_bias: c, float32 of shape (hidden,).
        attention: w, float32 of shape (hidden,).
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    content_weight: _Features
    content_bias: _Features
    gate_weight: _Features
    gate_bias: _Features
    attention: _Features

    def weights(self, features: _Features) -> npt.NDArray[np.float64]:
        """Weight of each image of one unit, float64 of shape (images,); they sum to 1."""
        return self._weights((features - self.mean) / self.scale)

    def of_bags(self, features: _Features, bags: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.float64]:
        """What is predicted for units, float64 of shape (units, columns).

        Args:
            features: Features of images, float32 of shape (images, features).
            bags: Rows of each unit's images.
        """
        pooled = np.empty((len(bags), features.shape[1]))
        for index, rows in enumerate(bags):
            images = (features[rows] - self.mean) / self.scale
            pooled[index] = self._weights(images) @ images
        return self._of_pooled(pooled)

    def probabilities(self, features: _Features) -> npt.NDArray[np.float64]:
        """What is predicted for images, each a unit of its own."""
        return self.of_bags(features, list(np.arange(len(features))[:, None]))

    @abstractmethod
    def _of_pooled(self, pooled: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What is predicted from z, float64 of shape (units, features)."""

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The tensors that are saved, by name."""
        return dict(vars(self))

    def _weights(self, images: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        content = np.tanh(images @ self.content_weight.T.astype(np.float64) + self.content_bias)
        # A sigmoid that never overflows.
        gate = (1 + np.tanh((images @ self.gate_weight.T.astype(np.float64) + self.gate_bias) / 2)) / 2
        scores = (content * gate) @ self.attention.astype(np.float64)
        found: npt.NDArray[np.float64] = softmax(scores[None])[0]
        return found


@dataclass(frozen=True, eq=False)
class AttentionHead(Attention):
    """A classifier of units by the features of their images.

    Attributes:
        class_weight: W, float32 of shape (classes, features).
        class_bias: d, float32 of shape (classes,).
    """

    class_weight: _Features
    class_bias: _Features

    def _of_pooled(self, pooled: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return softmax(pooled @ self.class_weight.T.astype(np.float64) + self.class_bias)
