"""The processes that train one network together, each on its part of every batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Made = TypeVar("Made")


class Peers:
    """The processes of a training, this one included.

    Args:
        fabric: Processes that have been launched; None for this process alone.

    >>> Peers().part(8, 12), Peers().is_first
    ((8, 12), True)
    """

    def __init__(self, fabric: Fabric | None = None) -> None:
        self._fabric = fabric
        self.count = 1 if fabric is None else fabric.world_size
        self.rank = 0 if fabric is None else fabric.global_rank

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def part(self, start: int, stop: int) -> tuple[int, int]:
        """The range of a batch that this process trains on: batches are cut into even parts."""
        length = stop - start
        return start + length * self.rank // self.count, start + length * (self.rank + 1) // self.count

    def made_by_first(self, make: Callable[[], Made]) -> Made:
        """The first process's result in every process; see `ctprune.pretraining.workers.made_by_first`."""
        if self._fabric is None:
            return make()
        # What starts processes takes a while to import, and most trainings have one.
        from ctprune.pretraining.workers import made_by_first

        return made_by_first(make, self._fabric)

    def add_up(self, total: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self._fabric is not None:
            torch.distributed.all_reduce(total)
        return total

    def add_up_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace gradients by their sums over all processes, in one message."""
        if self._fabric is None:
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        together = self.add_up(torch.cat([one.flatten() for one in gradients]))
        parts = torch.split(together, [one.numel() for one in gradients])
        for gradient, found in zip(gradients, parts, strict=True):
            gradient.copy_(found.view_as(gradient))

    def with_batchnorm(self, network: Any) -> Any:
        """The network, on GPUs with BatchNorm over all parts of a batch together; torch has none such for CPUs."""
        if self._fabric is None or self._fabric.device.type != "cuda":
            return network
        return torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
