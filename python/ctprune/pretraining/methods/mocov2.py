"""MoCo v2: find a slice's key among those of earlier batches (Chen et al. 2020, arXiv 2003.04297)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import batch_shuffle, batch_unshuffle, concat_all_gather
from lightly.utils import dist
from torch import Tensor

from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.method import Method, Outcome, Teacher, TrainingState
from ctprune.pretraining.settings import MocoSettings


class MocoV2(Method):
    """Query encoder, its slow copy for keys, and a queue of keys."""

    syncs_batchnorm = False
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

    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
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
        # Shuffled over devices: otherwise BatchNorm would reveal to a query which keys share its batch.
        shuffled, order = batch_shuffle(view, distributed=True)
        keys = head(self.embed(backbone, [shuffled])[0])
        unshuffled: Tensor = batch_unshuffle(keys, order, distributed=True)
        return unshuffled

    def before_step(self, state: TrainingState) -> None:
        """Let the key encoder follow."""
        self.teacher.follow([self.backbone, self.head], self._settings.teacher_momentum)


class KeyQueue(torch.nn.Module):
    """A queue of keys of earlier batches; the oldest are replaced first.

    Replaces the memory bank of lightly's losses, which waits for the device to say where the queue begins.

    Args:
        length: Number of keys, a multiple of the batches of all devices together.
        features: Length of a key.

    >>> queue = KeyQueue(4, 2)
    >>> _, negatives = queue(torch.ones(2, 2), update=True)
    >>> negatives.shape, queue.bank[:2].tolist()
    (torch.Size([2, 4]), [[1.0, 1.0], [1.0, 1.0]])
    """

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        self.bank: Tensor
        self.bank_ptr: Tensor
        start = torch.nn.functional.normalize(torch.randn(length, features), dim=1)
        self.register_buffer("bank", start, persistent=False)
        self.register_buffer("bank_ptr", torch.zeros(1, dtype=torch.long), persistent=False)

    def forward(self, keys: Tensor, update: bool = False) -> tuple[Tensor, Tensor]:
        """The keys, and those of earlier batches as columns; with `update` the new ones replace the oldest."""
        earlier = self.bank.clone().T
        if update:
            self._take_in(keys)
        return keys, earlier

    @torch.no_grad()
    def _take_in(self, keys: Tensor) -> None:
        if dist.world_size() > 1:
            keys = concat_all_gather(keys)
        indices = (self.bank_ptr + torch.arange(len(keys), device=keys.device)) % len(self.bank)
        self.bank.index_copy_(0, indices, keys)
        self.bank_ptr.add_(len(keys)).remainder_(len(self.bank))
