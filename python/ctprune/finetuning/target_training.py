"""Training of all weights for other targets than classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from ctprune.finetuning.heads import Head
from ctprune.finetuning.target_layers import layer_of
from ctprune.finetuning.training import Rows, SeedTraining
from ctprune.networks.device import autocast
from ctprune.networks.gray_backbone import on_device


@dataclass(eq=False)
class TargetTraining(SeedTraining):
    """A training that takes the epoch with the smallest loss on the selecting split.

    Attributes:
        targets: What is learned from each image, float64 of shape (n, columns), see `targets_of`.
        outputs: Number of labels or levels; 1 for numbers.
    """

    targets: npt.NDArray[np.float64] = field(kw_only=True)
    outputs: int = field(kw_only=True)

    def __post_init__(self) -> None:
        weigh = bool(self.config.class_weights)
        self._layer = layer_of(self.config.target, self.targets, self.outputs, self.data.train, weigh=weigh)
        super().__post_init__()

    def _new_head(self) -> torch.nn.Module:
        return self._layer.new(self.network.num_features)

    def _trained_head(self) -> Head:
        return self._layer.head(self.head)

    def _loss(self, outputs: torch.Tensor, rows: Rows) -> torch.Tensor:
        return self._layer.loss(outputs, rows)

    def _class_weights(self) -> None:
        """None: the layer weighs."""

    def _evaluate(self) -> tuple[float, float | None]:
        """Mean loss on the selecting split, over units."""
        self.network.eval()
        rows, loss = self.data.select, 0.0
        judge, features = self.data.judge, []
        with torch.inference_mode(), autocast(self.device, self.precision):
            for start in range(0, len(rows), self.config.batch_size):
                batch = rows[start : start + self.config.batch_size]
                found = self.network(on_device(self.data.pixels[batch], self.device))
                if judge is not None:
                    features.append(found.float().cpu().numpy())
                    continue
                loss += float(self._loss(self.head(found).float(), batch)) * len(batch)
        if judge is not None:
            return judge(self._trained_head().probabilities(np.concatenate(features)))
        return loss / len(rows), None
