"""A teacher's targets, kept from collapsing: centered, or assigned evenly, over all devices."""

from __future__ import annotations

import torch
from lightly.utils import dist
from torch import Tensor

#: Replaces sums of 0.
_LITTLE = 1e-30


class Centering(torch.nn.Module):
    """Softmax of the difference from the running mean, as in DINO (Caron et al. 2021, arXiv 2104.14294).

    Args:
        outputs: Length of the outputs to center.
        momentum: Share of the mean that stays in each step.
    """

    def __init__(self, outputs: int, momentum: float) -> None:
        super().__init__()
        self._momentum = momentum
        self.center: Tensor
        self.register_buffer("center", torch.zeros(outputs))

    @torch.no_grad()
    def forward(self, outputs: Tensor, temperature: float) -> Tensor:
        """Shares of each row, float32 of the shape of `outputs`, (n, outputs); moves the mean.

        Devices may have different numbers of rows.
        """
        shares = torch.softmax((outputs - self.center) / temperature, dim=1)
        total = torch.cat([outputs.sum(dim=0), outputs.new_full((1,), len(outputs))])
        _sum_of_all(total)
        self.center.mul_(self._momentum).add_(total[:-1] / total[-1], alpha=1 - self._momentum)
        return shares


class Sinkhorn(torch.nn.Module):
    """Assignments that use all outputs equally, as in SwAV (Caron et al. 2020, arXiv 2006.09882).

    Args:
        iterations: Iterations of the Sinkhorn-Knopp algorithm.
    """

    def __init__(self, iterations: int) -> None:
        super().__init__()
        self._iterations = iterations

    @torch.no_grad()
    def forward(self, outputs: Tensor, temperature: float) -> Tensor:
        """Shares of each row, float32 of the shape of `outputs`, (n, outputs).

        Devices may have different numbers of rows.
        """
        logits = outputs / temperature
        # Exponentials of the largest would not be finite. A device may have no row.
        highest = torch.cat([logits.amax(dim=1), logits.new_full((1,), -torch.inf)]).max()
        if dist.world_size() > 1:
            torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX)
        shares = torch.exp(logits - highest)
        for _ in range(self._iterations):
            of_outputs = shares.sum(dim=0)
            _sum_of_all(of_outputs)
            shares = shares / of_outputs.clamp(min=_LITTLE)
            shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=_LITTLE)
        return shares


def cross_entropies(student: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each row's softmax with its target, float32 of shape (n,).

    Args:
        student: Outputs of the student, float32 of shape (n, outputs).
        targets: Shares, float32 of shape (n, outputs).
        temperature: Temperature of the softmax.

    >>> cross_entropies(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), 0.1)
    tensor([0.6931])
    """
    return -(targets * torch.log_softmax(student / temperature, dim=1)).sum(dim=1)


def _sum_of_all(tensor: Tensor) -> None:
    """The sum of all processes' tensors, in place."""
    if dist.world_size() > 1:
        torch.distributed.all_reduce(tensor)
