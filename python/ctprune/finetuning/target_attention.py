"""Gated attention that learns other targets of units than classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ctprune.finetuning.attention import Attention
from ctprune.finetuning.bags import Rows
from ctprune.finetuning.target_heads import TargetAttentionHead
from ctprune.finetuning.target_layers import TargetLayer
from ctprune.finetuning.target_probes import target_loss


@dataclass(frozen=True, eq=False)
class TargetTask:
    """What attention learns, see `ctprune.finetuning.attention_training.Task`.

    Attributes:
        target: What labels are.
        targets: Targets of all units, float64 of shape (units, columns).
        layer: The layer after attention, and its loss.
        spread: Standard deviation of the training numbers, see `target_loss`.
    """

    target: str
    targets: npt.NDArray[np.float64]
    layer: TargetLayer
    spread: npt.NDArray[np.float64]

    def new(self, features: int) -> torch.nn.Module:
        """The layer after attention."""
        return self.layer.new(features)

    def loss(self, outputs: torch.Tensor, units: Rows) -> torch.Tensor:
        """The mean loss of the layer's outputs for these units."""
        return self.layer.loss(outputs, units)

    def quality(self, layer: torch.nn.Module, pooled: torch.Tensor, units: Rows) -> tuple[float, float | None]:
        """The loss of what is predicted for these units, and no accuracy."""
        predicted = self.layer.head(layer).probabilities(pooled.cpu().numpy())
        balance = None if self.layer.balance is None else self.layer.balance[units]
        return target_loss(self.target, predicted, self.targets[units], self.spread, balance), None

    def head(self, layer: torch.nn.Module, pooling: dict[str, Any]) -> Attention:
        """A head with the weights of the layer and those of the pooling."""
        return TargetAttentionHead(layer=self.layer.head(layer), **pooling)
