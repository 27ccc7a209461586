"""SwAV: predict the prototypes of one view from another (Caron et al. 2020, arXiv 2006.09882)."""

from __future__ import annotations

from collections.abc import Sequence

from ctprune.extras import extra
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.method import Method, Moment, Outcome, in_float32
from ctprune.pretraining.settings import SwavSettings

with extra("train", "pre-training"):
    import torch
    from lightly.loss import SwaVLoss
    from lightly.models.modules import SwaVProjectionHead
    from torch import Tensor
    from torch.nn.functional import normalize


class Swav(Method):
    """The first group of crops gives the codes; prototypes have no bias, as in the published code."""

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__(backbone, config)
        assert isinstance(config.settings, SwavSettings)
        self._settings = config.settings
        self._large = config.views.crops[0].count
        self.head = SwaVProjectionHead(self.features, config.settings.hidden, config.settings.projection)
        self.prototypes = torch.nn.Linear(config.settings.projection, config.settings.prototypes, bias=False)
        self.loss = SwaVLoss(
            temperature=config.settings.temperature,
            sinkhorn_iterations=config.settings.sinkhorn_iterations,
            sinkhorn_epsilon=config.settings.epsilon,
            sinkhorn_gather_distributed=config.devices != 1,
        )

    def forward(self, views: Sequence[Tensor], moment: Moment) -> Outcome:
        """The loss of swapped predictions."""
        features = self.embed(self.backbone, views)
        # Sinkhorn overflows in half precision, so similarities are in float32.
        with torch.autocast(views[0].device.type, enabled=False):
            projections = self.head(torch.cat(in_float32(features)))
            logits = self.prototypes(normalize(projections, dim=1)).chunk(len(views))
            loss = self.loss(list(logits[: self._large]), list(logits[self._large :])).squeeze()
            assignments = torch.softmax(logits[0].detach() / self._settings.temperature, dim=1)
        return Outcome(loss=loss, features=features[0].detach().float(), assignments=assignments)

    @torch.no_grad()
    def before_step(self, moment: Moment) -> None:
        """Put the prototypes back onto the unit sphere."""
        self.prototypes.weight.copy_(normalize(self.prototypes.weight, dim=1))

    def after_backward(self, moment: Moment) -> None:
        """Leave the prototypes alone at the beginning."""
        steps = self._settings.freeze_steps
        frozen = moment.epoch < self._settings.freeze_epochs if steps is None else moment.step < steps
        if frozen:
            self.prototypes.weight.grad = None
