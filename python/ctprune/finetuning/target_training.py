"""Training of all weights for other targets than classes: their layers and losses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from ctprune.finetuning.heads import Head
from ctprune.finetuning.probes import standard
from ctprune.finetuning.target_heads import LabelHead, LevelHead, NumberHead
from ctprune.finetuning.target_probes import thresholds_passed
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

    def _truth(self, rows: Rows, outputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.targets[rows].astype(np.float32)).to(outputs.device)

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


@dataclass(eq=False)
class NumberTraining(TargetTraining):
    """Numbers, standardized by those of the training images, with the mean squared error."""

    def __post_init__(self) -> None:
        self._center, self._spread = standard(self.targets[self.data.train])
        self.targets = (self.targets - self._center) / self._spread
        super().__post_init__()

    def _new_head(self) -> torch.nn.Module:
        return torch.nn.Linear(self.network.num_features, 1)

    def _trained_head(self) -> Head:
        weight, bias = (tensor.detach().double().cpu().numpy() for tensor in self.head.parameters())
        # In the numbers' own unit.
        return NumberHead(
            (weight * self._spread[:, None]).astype(np.float32),
            (bias * self._spread + self._center).astype(np.float32),
        )

    def _loss(self, outputs: torch.Tensor, rows: Rows) -> torch.Tensor:
        return mse_loss(outputs, self._truth(rows, outputs))


@dataclass(eq=False)
class LabelTraining(TargetTraining):
    """Several labels, each with a sigmoid and its log loss; the mean over labels."""

    def _new_head(self) -> torch.nn.Module:
        return torch.nn.Linear(self.network.num_features, self.outputs)

    def _trained_head(self) -> Head:
        return LabelHead(*(tensor.detach().float().cpu().numpy() for tensor in self.head.parameters()))

    def _loss(self, outputs: torch.Tensor, rows: Rows) -> torch.Tensor:
        return binary_cross_entropy_with_logits(outputs, self._truth(rows, outputs))


@dataclass(eq=False)
class LevelTraining(TargetTraining):
    """Levels by CORAL: one number with a bias for each threshold, and the mean log loss of passing each.

    Source: W. Cao, V. Mirjalili, S. Raschka, Rank consistent ordinal regression for neural networks with
    application to age estimation, Pattern Recognition Letters 140 (2020) 325.
    """

    def __post_init__(self) -> None:
        self.targets = thresholds_passed(self.targets, self.outputs)
        super().__post_init__()

    def _new_head(self) -> torch.nn.Module:
        return Thresholds(self.network.num_features, self.outputs - 1)

    def _trained_head(self) -> Head:
        found = {name: one.detach().float().cpu().numpy() for name, one in self.head.named_parameters()}
        return LevelHead(found["number.weight"], found["biases"])

    def _loss(self, outputs: torch.Tensor, rows: Rows) -> torch.Tensor:
        return binary_cross_entropy_with_logits(outputs, self._truth(rows, outputs))


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
