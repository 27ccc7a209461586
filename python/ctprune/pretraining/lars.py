"""LARS: a learning rate per layer from its norms of weights and gradients (You et al. 2017, arXiv 1708.03888)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor

#: Keeps a layer's rate finite.
_EPS = 1e-8


class Lars(torch.optim.Optimizer):
    """SGD with momentum, with each tensor's step scaled to the norm of its weights.

    Each step equals that of lightly's LARS, which waits for the device twice per tensor to get the norms. Here the
    norms stay on the device, and each operation but one processes all tensors together: torch multiplies each
    tensor by its own factor in a launch of its own.

    Args:
        params: Parameters, or groups of them. A group with weight decay 0 is not scaled, as in SimCLR and BYOL for
            biases and normalization layers.
        lr: Learning rate.
        momentum: Share of the last step that is repeated, above 0.
        weight_decay: Share of the weights that is added to the gradients.
        trust_coefficient: Norm of a step, as a share of the norm of the weights.

    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = Lars([weight], lr=1.0, momentum=0.9, weight_decay=1e-6, trust_coefficient=0.1)
    >>> weight.grad = torch.tensor([1.0, 0.0])
    >>> optimizer.step()
    >>> [round(value, 3) for value in weight.tolist()]
    [2.5, 4.0]
    """

    def __init__(
        self, params: Any, *, lr: float, momentum: float, weight_decay: float, trust_coefficient: float = 0.001
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
        }
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step with the current gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._step(weights, group)
        return loss

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        steps = [weight.grad for weight in weights if weight.grad is not None]
        if group["weight_decay"]:
            factors = _factors(weights, steps, group["weight_decay"], group["trust_coefficient"])
            steps = list(torch._foreach_add(steps, weights, alpha=group["weight_decay"]))
            torch._foreach_mul_(steps, factors)
        velocities = [self._velocity(weight) for weight in weights]
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, steps)
        torch._foreach_add_(weights, velocities, alpha=-group["lr"])

    def _velocity(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        velocity: Tensor = state["momentum_buffer"]
        return velocity


def _factors(weights: list[Tensor], gradients: list[Tensor], decay: float, trust: float) -> list[Tensor]:
    """Factor of each tensor's gradient plus decay, as numbers on the device."""
    of_weights = torch.stack(torch._foreach_norm(weights))
    of_gradients = torch.stack(torch._foreach_norm(gradients))
    factors = of_weights / (of_gradients + of_weights * decay + _EPS) * trust
    # Weights of 0 take the plain gradient. Weights without a gradient get no decay either.
    factors = torch.where(of_weights == 0, 1.0, factors)
    return list(torch.where(of_gradients == 0, 0.0, factors).unbind())
