"""MoCo v2: find a slice's key among those of earlier batches (Chen et al. 2020, arXiv 2003.04297)."""

from __future__ import annotations

from collections.abc import Sequence

from ctprune.environment.extras import extra
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.method import Method, Moment, Outcome, Teacher
from ctprune.pretraining.settings import MocoSettings

with extra("train", "pre-training"):
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from lightly.models.utils import batch_shuffle, batch_unshuffle
    from lightly.utils import dist
    from torch import Tensor

    from ctprune.pretraining.methods.key_queue import KeyQueue


class MocoV2(Method):
    """Query encoder, its slow copy for keys, and a queue of keys."""

    synchronised = False
    alike = ("loss.memory_bank.bank", "loss.memory_bank.bank_ptr")

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__(backbone, config)
        assert isinstance(config.settings, MocoSettings)
        self._settings = config.settings
        hidden, projection = config.settings.hidden, config.settings.projection
        self.head: torch.nn.Module = (
            MoCoProjectionHead(self.features, hidden, projection)
            if hidden
            else torch.nn.Linear(self.features, projection)
        )
        self.teacher = Teacher(self.backbone, self.head)
        self.loss = NTXentLoss(temperature=config.settings.temperature)
        self.loss.memory_bank = KeyQueue(config.settings.queue, projection)

    def forward(self, views: Sequence[Tensor], moment: Moment) -> Outcome:
        """The InfoNCE loss; the keys join the queue."""
        (features,) = self.embed(self.backbone, views[:1])
        queries = self.head(features)
        with torch.no_grad():
            keys = self._keys(views[1])
        with torch.autocast(views[0].device.type, enabled=False):
            loss = self.loss(queries.float(), keys.float())
        return Outcome(loss=loss, features=features.detach().float())

    def _keys(self, view: Tensor) -> Tensor:
        backbone, head = self.teacher.networks
        if dist.world_size() == 1:
            return head(self.embed(backbone, [view])[0])  # type: ignore[no-any-return]
        # Over several devices, else BatchNorm would tell a query which keys share its batch.
        shuffled, order = batch_shuffle(view, distributed=True)
        keys = head(self.embed(backbone, [shuffled])[0])
        unshuffled: Tensor = batch_unshuffle(keys, order, distributed=True)
        return unshuffled

    def before_step(self, moment: Moment) -> None:
        """Let the key encoder follow."""
        self.teacher.follow([self.backbone, self.head], self._settings.teacher_momentum)
