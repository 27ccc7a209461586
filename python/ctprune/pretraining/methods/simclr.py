"""SimCLR: find a slice's other view among the views of the batch (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.models.modules import SimCLRProjectionHead
from lightly.utils import dist
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.method import Method, Outcome, TrainingState
from ctprune.pretraining.settings import SimclrSettings


class SimClr(Method):
    """One network; negatives are the rest of the batch, over all devices."""

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__(backbone, config)
        assert isinstance(config.settings, SimclrSettings)
        self.head = SimCLRProjectionHead(self.features, config.settings.hidden, config.settings.projection)
        self._temperature = config.settings.temperature

    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
        """The NT-Xent loss."""
        features = self.embed(self.backbone, views)
        with torch.autocast(views[0].device.type, enabled=False):
            first, second = self.head(torch.cat(features).float()).chunk(2)
            loss = nt_xent(first, second, self._temperature)
        return Outcome(loss=loss, features=features[0].detach().float())


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each slice's other view among the views of all slices, over all devices.

    Like lightly's loss, which selects a view's partners by a mask, so that the host waits for their number.

    Args:
        first: Projections of one view of each slice, float32 of shape (n, d).
        second: Projections of the other view of each slice, float32 of shape (n, d).
        temperature: Temperature of the softmax.

    >>> round(nt_xent(torch.eye(2), torch.eye(2), 1.0).item(), 4)
    0.5514
    """
    first, second = normalize(first, dim=1), normalize(second, dim=1)
    several = dist.world_size() > 1
    others = torch.cat([*dist.gather(first), *dist.gather(second)] if several else [first, second])
    here = torch.arange(len(first), device=first.device) + dist.rank() * len(first)
    own, partner = torch.cat([here, here + len(others) // 2]), torch.cat([here + len(others) // 2, here])
    scores = torch.cat([first, second]) @ others.T / temperature
    return cross_entropy(scores.scatter(1, own[:, None], -torch.inf), partner)
