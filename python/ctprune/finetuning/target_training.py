"""Training of all weights for other targets than classes: their layers and losses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from ctprune.finetuning.heads import Head
from ctprune.finetuning.target_heads import NumberHead
from ctprune.finetuning.target_probes import standard
from ctprune.finetuning.training import Rows, SeedTraining
from ctprune.networks.device import autocast
from ctprune.networks.gray_backbone import on_device


@dataclass(eq=False)
class NumberTraining(SeedTraining):
    """Numbers, standardized by those of the training images, with the mean squared error.

    The epoch with the smallest loss on the selecting split is taken.

    Attributes:
        targets: The number of each image, (n, 1).
    """

    targets: npt.NDArray[np.float64] = field(kw_only=True)

    def __post_init__(self) -> None:
        self._center, self._spread = standard(self.targets[self.data.train])
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
        standardized = (self.targets[rows] - self._center) / self._spread
        truth = torch.from_numpy(standardized.astype(np.float32)).to(outputs.device)
        return torch.nn.functional.mse_loss(outputs, truth)

    def _evaluate(self) -> tuple[float, float | None]:
        """Mean loss on the selecting split."""
        self.network.eval()
        rows, loss = self.data.select, 0.0
        with torch.inference_mode(), autocast(self.device, self.precision):
            for start in range(0, len(rows), self.config.batch_size):
                batch = rows[start : start + self.config.batch_size]
                outputs = self.head(self.network(on_device(self.data.pixels[batch], self.device))).float()
                loss += float(self._loss(outputs, batch)) * len(batch)
        return loss / len(rows), None
