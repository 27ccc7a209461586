"""Torch's switches for speed, as a network finds them whenever it is used."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import ModuleType

import pytest
import torch

from ctprune.environment.precision import quick_gpu

#: While features, predictions and masks are computed.
PLAIN = (False, "highest")


def watch_switches(
    monkeypatch: pytest.MonkeyPatch, network: type[torch.nn.Module], training: ModuleType
) -> list[tuple[bool, str]]:
    """From now on, whether cuDNN searches and how exact products are, a pair for each use of such a network.

    The training sets them as it would on a GPU.
    """
    forward = network.forward
    seen: list[tuple[bool, str]] = []

    def watched(used: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        seen.append((torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()))
        found: torch.Tensor = forward(used, images)
        return found

    def as_on_a_gpu(_: torch.device, *, mixed: bool) -> AbstractContextManager[None]:
        return quick_gpu(torch.device("cuda"), mixed=mixed)

    monkeypatch.setattr(network, "forward", watched)
    monkeypatch.setattr(training, "quick_gpu", as_on_a_gpu)
    return seen
