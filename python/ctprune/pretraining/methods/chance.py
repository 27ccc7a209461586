"""Random numbers of a method: drawn on the CPU from the number of the batch, so alike on every device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

#: Separates these draws from those of views, whose seeds have fewer numbers.
_OF_METHODS = 1


def batch_generator(seed: int, batch: int) -> torch.Generator:
    """A generator on the CPU for one batch of all processes, seeded by these two numbers alone.

    So a resumed training draws the same numbers as one that was never stopped.

    Args:
        seed: Seed of the training.
        batch: `TrainingState.batch`.

    >>> first, again = (torch.rand(2, generator=batch_generator(0, 5)) for _ in range(2))
    >>> torch.equal(first, again), torch.equal(first, torch.rand(2, generator=batch_generator(0, 6)))
    (True, False)
    """
    (state,) = np.random.SeedSequence([seed, batch, 0, 0, _OF_METHODS]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state) >> 1)


def sent(drawn: Tensor, device: torch.device) -> Tensor:
    """Copy drawn numbers to a device; a GPU fetches them while the host continues."""
    if device.type == "cuda" and torch.cuda.is_available():
        drawn = drawn.pin_memory()
    return drawn.to(device, non_blocking=True)
