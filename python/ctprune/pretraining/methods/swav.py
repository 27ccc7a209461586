"""SwAV: predict the prototypes of one view from another (Caron et al. 2020, arXiv 2006.09882)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import SwaVLoss
from lightly.models.modules import SwaVProjectionHead
from lightly.models.utils import concat_all_gather
from lightly.utils import dist
from torch import Tensor
from torch.nn.functional import normalize

from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.method import Method, Outcome, TrainingState, in_float32
from ctprune.pretraining.settings import SwavSettings


class Swav(Method):
    """The first group of crops gives the codes; prototypes have no bias, as in the published code."""

    alike = ("queue",)

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__(backbone, config)
        assert isinstance(config.settings, SwavSettings)
        self._settings = config.settings
        self._large = config.views.crops[0].count
        self._batch = config.batch_size * config.accumulate
        self.head = SwaVProjectionHead(self.features, config.settings.hidden, config.settings.projection)
        self.prototypes = torch.nn.Linear(config.settings.projection, config.settings.prototypes, bias=False)
        self.loss = SwaVLoss(
            temperature=config.settings.temperature,
            sinkhorn_iterations=config.settings.sinkhorn_iterations,
            sinkhorn_epsilon=config.settings.epsilon,
            sinkhorn_gather_distributed=config.several,
        )
        # The newest first, for each crop of the first group.
        shape = (self._large, config.settings.queue, config.settings.projection)
        self.register_buffer("queue", torch.zeros(shape) if config.settings.queue else None)

    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
        """The loss of swapped predictions."""
        features = self.embed(self.backbone, views)
        # Sinkhorn overflows in half precision, so similarities are in float32.
        with torch.autocast(views[0].device.type, enabled=False):
            projections = normalize(self.head(torch.cat(in_float32(features))), dim=1)
            logits = self.prototypes(projections).chunk(len(views))
            large, small = list(logits[: self._large]), list(logits[self._large :])
            loss = self.loss(large, small, self._queued(state)).squeeze()
            self._enqueue(projections.detach().chunk(len(views))[: self._large])
            assignments = torch.softmax(logits[0].detach() / self._settings.temperature, dim=1)
        return Outcome(loss=loss, features=features[0].detach().float(), assignments=assignments)

    @torch.no_grad()
    def _queued(self, state: TrainingState) -> list[Tensor] | None:
        """Similarities of the queue's projections with the prototypes as they are now, for each large crop."""
        length, devices = self._settings.queue, dist.world_size()
        full = state.step * self._batch * devices >= length
        if not length or state.epoch < self._settings.queue_epochs or not full:
            return None
        # All devices have the same queue. Each uses a part of it, as it has a part of the batch.
        part = length // devices
        start = dist.rank() * part
        return [self.prototypes(of_crop[start : start + part]) for of_crop in self._stored()]

    @torch.no_grad()
    def _enqueue(self, projections: Sequence[Tensor]) -> None:
        if not self._settings.queue:
            return
        new = torch.stack([concat_all_gather(p) if dist.world_size() > 1 else p for p in projections])
        queue = self._stored()
        queue.copy_(torch.cat([new, queue[:, : -new.shape[1]]], dim=1))

    def _stored(self) -> Tensor:
        assert isinstance(self.queue, Tensor)
        return self.queue

    @torch.no_grad()
    def before_step(self, state: TrainingState) -> None:
        """Put the prototypes back onto the unit sphere."""
        self.prototypes.weight.copy_(normalize(self.prototypes.weight, dim=1))

    def after_backward(self, state: TrainingState) -> None:
        """Freeze the prototypes at the beginning."""
        steps = self._settings.freeze_steps
        frozen = state.epoch < self._settings.freeze_epochs if steps is None else state.step < steps
        if frozen:
            self.prototypes.weight.grad = None
