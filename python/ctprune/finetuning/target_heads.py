"""From features to predictions of other targets than classes: several labels, levels, numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.neighbors import KNeighborsRegressor

from ctprune.finetuning.attention import Attention
from ctprune.finetuning.linear_layer import LinearLayer
from ctprune.finetuning.votes import Features, votes


class NumberHead(LinearLayer):
    """A linear layer whose outputs are numbers."""

    def probabilities(self, features: Features | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The numbers, float64 of shape (n, columns)."""
        return self.outputs(features)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is saved."""
        return {"number_weight": self.weight, "number_bias": self.bias}


class LabelHead(LinearLayer):
    """Sigmoids of a linear layer: labels are independent of each other."""

    def probabilities(self, features: Features | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probability of each label, float64 of shape (n, labels)."""
        return _sigmoid(self.outputs(features))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is saved."""
        return {"label_weight": self.weight, "label_bias": self.bias}


class LevelHead(LinearLayer):
    """Sigmoids of one number with a bias for each threshold between levels (CORAL; Cao et al. 2020).

    Attributes:
        weight: Weights of the number, float32 of shape (1, features).
        bias: Bias of each threshold, from the lowest, float32 of shape (levels - 1,).
    """

    def probabilities(self, features: Features | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probability of each level, float64 of shape (n, levels), rows sum to 1."""
        above = _sigmoid(self.outputs(features))
        # Where training has not put the biases into order, a higher level is at most as likely to be passed.
        above = np.minimum.accumulate(above, axis=1)
        ends = [np.ones((len(above), 1)), above, np.zeros((len(above), 1))]
        found: npt.NDArray[np.float64] = -np.diff(np.concatenate(ends, axis=1), axis=1)
        return found

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is saved."""
        return {"level_weight": self.weight, "level_bias": self.bias}


@dataclass(frozen=True, eq=False)
class NeighborMeanHead:
    """The mean of the targets of the training images with the most similar features.

    Attributes:
        features: Features of the training images, float32 of shape (n, features).
        targets: Targets of each training image, float64 of shape (n, columns).
        neighbors: Number of neighbors.
    """

    features: Features
    targets: npt.NDArray[np.float64]
    neighbors: int

    def probabilities(self, features: Features) -> npt.NDArray[np.float64]:
        """Weighted means, each neighbor weighted with exp(cosine / temperature), float64 of shape (n, columns)."""
        if not len(features):
            return np.zeros((0, self.targets.shape[1]))
        near = min(self.neighbors, len(self.targets))
        model = KNeighborsRegressor(near, metric="cosine", algorithm="brute", weights=votes)
        model.fit(self.features, self.targets)
        found = np.asarray(model.predict(features), np.float64).reshape(len(features), -1)
        # Weights of 32 bits may carry a mean past the values that it is made of, such as a probability past 1.
        return np.clip(found, self.targets.min(axis=0), self.targets.max(axis=0))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is saved."""
        neighbors = np.array([self.neighbors], np.int64)
        return {"features": self.features, "targets": self.targets, "neighbors": neighbors}


@dataclass(frozen=True, eq=False)
class TargetAttentionHead(Attention):
    """Predicts targets of units from the features of their images.

    Attributes:
        layer: Predicts from the pooled features.
    """

    layer: NumberHead | LabelHead | LevelHead

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is saved."""
        own = super().tensors()
        del own["layer"]
        return own | self.layer.tensors()

    def _of_pooled(self, pooled: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.layer.probabilities(pooled)


def attention_head(tensors: dict[str, npt.NDArray[Any]]) -> TargetAttentionHead | None:
    """The head that these tensors of attention belong to; None for a head for classes."""
    layer = target_head(tensors)
    if not isinstance(layer, (NumberHead, LabelHead, LevelHead)):
        return None
    return TargetAttentionHead(
        layer=layer, **{name: tensor for name, tensor in tensors.items() if name not in layer.tensors()}
    )


def target_head(tensors: dict[str, npt.NDArray[Any]]) -> TargetHead | None:
    """The head that these tensors belong to; None for a head for classes."""
    for name, kind in (("number", NumberHead), ("label", LabelHead), ("level", LevelHead)):
        if f"{name}_weight" in tensors:
            return kind(tensors[f"{name}_weight"], tensors[f"{name}_bias"])
    if "targets" in tensors:
        return NeighborMeanHead(tensors["features"], tensors["targets"], int(tensors["neighbors"][0]))
    return None


def _sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = expit(x)
    return found


TargetHead = NumberHead | LabelHead | LevelHead | NeighborMeanHead
