"""SimCLR: tell a slice's other view from those of all others in the batch (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

from collections.abc import Sequence

from ctprune.extras import extra
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.method import Method, Moment, Outcome
from ctprune.pretraining.settings import SimclrSettings

with extra("train", "pre-training"):
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from torch import Tensor


class SimClr(Method):
    """One network; negatives are the rest of the batch, over all devices."""

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__(backbone, config)
        assert isinstance(config.settings, SimclrSettings)
        self.head = SimCLRProjectionHead(self.features, config.settings.hidden, config.settings.projection)
        self.loss = NTXentLoss(temperature=config.settings.temperature, gather_distributed=config.devices != 1)

    def forward(self, views: Sequence[Tensor], moment: Moment) -> Outcome:
        """The NT-Xent loss."""
        features = self.embed(self.backbone, views)
        with torch.autocast(views[0].device.type, enabled=False):
            first, second = self.head(torch.cat(features).float()).chunk(2)
            loss = self.loss(first, second)
        return Outcome(loss=loss, features=features[0].detach().float())
