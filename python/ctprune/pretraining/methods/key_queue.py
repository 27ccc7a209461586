"""MoCo's queue: keys of earlier batches, the oldest replaced first."""

from __future__ import annotations

from ctprune.environment.extras import extra

with extra("train", "pre-training"):
    import torch
    from lightly.models.utils import concat_all_gather
    from lightly.utils import dist
    from torch import Tensor


class KeyQueue(torch.nn.Module):
    """Stands in for the memory bank of lightly's losses, which asks the device where the queue begins, and waits.

    Args:
        length: Number of keys, a multiple of the batches of all devices together.
        features: Length of each.

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
        places = (self.bank_ptr + torch.arange(len(keys), device=keys.device)) % len(self.bank)
        self.bank.index_copy_(0, places, keys)
        self.bank_ptr.add_(len(keys)).remainder_(len(self.bank))
