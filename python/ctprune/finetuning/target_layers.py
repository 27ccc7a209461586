"""What is trained after the backbone, or after attention, for other targets than classes: layers and losses."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from ctprune.finetuning.probes import standard
from ctprune.finetuning.target_heads import LabelHead, LevelHead, NumberHead
from ctprune.finetuning.target_probes import thresholds_passed
from ctprune.options.shared import MULTI_LABEL, ORDINAL

_Floats = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.int64]


class TargetLayer(ABC):
    """A layer that learns targets.

    Args:
        targets: What is learned from each image, or other unit, float64 of shape (n, columns), see `targets_of`.
        outputs: Number of labels or levels; 1 for numbers.
        train: Rows of the targets that are trained on.
    """

    def __init__(self, targets: _Floats, outputs: int, train: _Rows) -> None:
        self.targets, self.outputs = targets, outputs

    def new(self, features: int) -> torch.nn.Module:
        """A layer with random weights."""
        return torch.nn.Linear(features, self.outputs)

    def loss(self, outputs: torch.Tensor, rows: _Rows) -> torch.Tensor:
        """The mean loss of a layer's outputs for these rows of the targets."""
        return binary_cross_entropy_with_logits(outputs, self._truth(rows, outputs))

    @abstractmethod
    def head(self, layer: torch.nn.Module) -> LabelHead | LevelHead | NumberHead:
        """A head with the weights of a layer."""

    def _truth(self, rows: _Rows, outputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.targets[rows].astype(np.float32)).to(outputs.device)


class LabelLayer(TargetLayer):
    """Several labels, each with a sigmoid and its log loss; the mean over labels."""

    def head(self, layer: torch.nn.Module) -> LabelHead:
        """A head with the weights of a layer."""
        return LabelHead(*(tensor.detach().float().cpu().numpy().copy() for tensor in layer.parameters()))


class LevelLayer(TargetLayer):
    """Levels by CORAL: one number with a bias for each threshold, and the mean log loss of passing each.

    Source: W. Cao, V. Mirjalili, S. Raschka, Rank consistent ordinal regression for neural networks with
    application to age estimation, Pattern Recognition Letters 140 (2020) 325.
    """

    def __init__(self, targets: _Floats, outputs: int, train: _Rows) -> None:
        super().__init__(thresholds_passed(targets, outputs), outputs, train)

    def new(self, features: int) -> torch.nn.Module:
        """A layer with random weights."""
        return Thresholds(features, self.outputs - 1)

    def head(self, layer: torch.nn.Module) -> LevelHead:
        """A head with the weights of a layer."""
        found = {name: one.detach().float().cpu().numpy().copy() for name, one in layer.named_parameters()}
        return LevelHead(found["number.weight"], found["biases"])


class NumberLayer(TargetLayer):
    """Numbers, standardized by those that are trained on, with the mean squared error."""

    def __init__(self, targets: _Floats, outputs: int, train: _Rows) -> None:
        self._center, self._spread = standard(targets[train])
        super().__init__((targets - self._center) / self._spread, outputs, train)

    def loss(self, outputs: torch.Tensor, rows: _Rows) -> torch.Tensor:
        """The mean squared error of a layer's outputs for these rows of the targets."""
        return mse_loss(outputs, self._truth(rows, outputs))

    def head(self, layer: torch.nn.Module) -> NumberHead:
        """A head with the weights of a layer, in the numbers' own unit."""
        weight, bias = (tensor.detach().double().cpu().numpy() for tensor in layer.parameters())
        return NumberHead(
            (weight * self._spread[:, None]).astype(np.float32),
            (bias * self._spread + self._center).astype(np.float32),
        )


class Thresholds(torch.nn.Module):
    """Logits of passing each threshold: one number from the features, and a bias for each."""

    def __init__(self, features: int, thresholds: int) -> None:
        super().__init__()
        self.number = torch.nn.Linear(features, 1, bias=False)
        self.biases = torch.nn.Parameter(torch.zeros(thresholds))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of shape (n, thresholds)."""
        logits: torch.Tensor = self.number(features) + self.biases
        return logits


def layer_of(target: str, targets: _Floats, outputs: int, train: _Rows) -> TargetLayer:
    """The layer of a target; see `TargetLayer`."""
    kind = {MULTI_LABEL: LabelLayer, ORDINAL: LevelLayer}.get(target, NumberLayer)
    return kind(targets, outputs, train)
