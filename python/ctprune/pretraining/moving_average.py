"""A moving average of a network's weights: smoother than those of any step, and often better."""

from __future__ import annotations

import copy

import torch
from torch import Tensor


class MovingAverage:
    """A copy of a network whose weights are the exponential moving average over optimizer steps.

    Running statistics of BatchNorm are averaged likewise. In the first steps the momentum is lower,
    (1 + step) / (10 + step), so that the random weights of the beginning are soon forgotten.

    Args:
        network: The network, before it is compiled.
        momentum: Share of the average that stays in each step, from 0 to 1.

    >>> layer = torch.nn.Linear(1, 1)
    >>> average = MovingAverage(layer, momentum=0.999)
    >>> average.follow(layer, step=1)
    >>> torch.equal(average.network.weight, layer.weight)
    True
    """

    def __init__(self, network: torch.nn.Module, momentum: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._momentum = momentum

    @torch.no_grad()
    def follow(self, network: torch.nn.Module, step: int) -> None:
        """Move the average toward the network's weights after an optimizer step, which is counted from 1."""
        momentum = min(self._momentum, (1 + step) / (10 + step))
        torch._foreach_lerp_(_averaged(self.network), _averaged(network), 1 - momentum)


def _averaged(network: torch.nn.Module) -> list[Tensor]:
    """All weights and statistics that are numbers; counters of batches are none."""
    return [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]
