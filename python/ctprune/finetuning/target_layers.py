"""What is trained after the backbone, or after attention, for other targets than classes: layers and losses."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from ctprune.finetuning.probes import standard
from ctprune.finetuning.target_balance import balanced
from ctprune.finetuning.target_heads import LabelHead, LevelHead, NumberHead
from ctprune.finetuning.target_probes import thresholds_passed
from ctprune.options.shared import MULTI_LABEL, REGRESSION

_Floats = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.int64]


class TargetLayer(ABC):
    """A layer that learns targets.

    Args:
        targets: What is learned from each image, or other unit, float64 of shape (n, columns), see `targets_of`.
        outputs: Number of labels or levels; 1 for numbers.
        train: Rows of the targets that are trained on.
        balance: How much each target counts, see `balanced`, (n, columns); None where all count alike.
    """

    def __init__(self, targets: _Floats, outputs: int, train: _Rows, balance: _Floats | None = None) -> None:
        self.targets, self.outputs, self.balance = targets, outputs, balance

    def new(self, features: int) -> torch.nn.Module:
        """A layer with random weights."""
        return torch.nn.Linear(features, self.outputs)

    def loss(self, outputs: torch.Tensor, rows: _Rows) -> torch.Tensor:
        """The mean loss of a layer's outputs for these rows of the targets, each as much as it counts.

        The mean is over all outputs, not over what they count: so those of parts add up to that of a batch, and
        those of all batches to what regressions on frozen features minimize.
        """
        counts = None if self.balance is None else _tensor(self.balance[rows], outputs)
        return binary_cross_entropy_with_logits(outputs, _tensor(self.targets[rows], outputs), weight=counts)

    @abstractmethod
    def head(self, layer: torch.nn.Module) -> LabelHead | LevelHead | NumberHead:
        """A head with the weights of a layer."""


class LabelLayer(TargetLayer):
    """Several labels, each with a sigmoid and its log loss; the mean over labels.

    With a balance, images with and without a label have the same total weight, and each label the same as others.
    """

    def head(self, layer: torch.nn.Module) -> LabelHead:
        """A head with the weights of a layer."""
        return LabelHead(*(tensor.detach().float().cpu().numpy().copy() for tensor in layer.parameters()))


class LevelLayer(TargetLayer):
    """Levels by CORAL: one number with a bias for each threshold, and the mean log loss of passing each.

    Source: W. Cao, V. Mirjalili, S. Raschka, Rank consistent ordinal regression for neural networks with
    application to age estimation, Pattern Recognition Letters 140 (2020) 325.

    With a balance, all levels have the same total weight: an image counts as much at each threshold.
    """

    def __init__(self, targets: _Floats, outputs: int, train: _Rows, balance: _Floats | None = None) -> None:
        super().__init__(thresholds_passed(targets, outputs), outputs, train, balance)

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
        return mse_loss(outputs, _tensor(self.targets[rows], outputs))

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


def layer_of(target: str, targets: _Floats, outputs: int, train: _Rows, *, weigh: bool) -> TargetLayer:
    """The layer of a target, see `TargetLayer`; with `weigh`, labels or levels are balanced."""
    if target == REGRESSION:
        return NumberLayer(targets, outputs, train)
    kind = LabelLayer if target == MULTI_LABEL else LevelLayer
    return kind(targets, outputs, train, balanced(targets, targets[train]) if weigh else None)


def _tensor(values: _Floats, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(like.device)
