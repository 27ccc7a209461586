"""How far a fine-tuning has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FinetuneProgress:
    """How far a fine-tuning has come.

    Attributes:
        stage: `reading`, `features` or `training`.
        done: Images read or epochs done of this seed.
        total: Of so many.
        seed: Place of the seed among all, from 0.
        seeds: Number of seeds.
        accuracy: On the selecting split, after the last epoch.
    """

    stage: str
    done: int = 0
    total: int = 0
    seed: int = 0
    seeds: int = 0
    accuracy: float | None = None


ProgressCallback = Callable[[FinetuneProgress], None]
