"""How a learning rate or a weight decay changes from step to step, in every training. Needs no torch."""

from __future__ import annotations

import math


def scheduled_rate(step: int, steps: int, *, warmup: int, start: float, peak: float, end: float) -> float:
    """The learning rate of a step: in equal parts from one to another, then along a cosine to a third.

    Args:
        step: Number of the optimizer step, counted from 0.
        steps: Number of steps in all.
        warmup: Steps until the rate is `peak`; of a training that is shorter, all.
        start: Rate of the first step of the warm-up.
        peak: Rate after the warm-up.
        end: Rate after the last step; `peak` keeps it the same.

    >>> [round(scheduled_rate(step, 30, warmup=10, start=0, peak=1, end=0), 2) for step in (0, 5, 10, 20, 30)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    # A training that is shorter than its warm-up still gets to the rate.
    warmup = min(warmup, steps)
    if step < warmup:
        return start + (peak - start) * step / warmup
    return along_cosine(peak, end, (step - warmup) / max(1, steps - warmup))


def along_cosine(start: float, end: float, share: float) -> float:
    """A number on the half wave of a cosine from `start`, at a share of 0, to `end`, at 1.

    >>> [round(along_cosine(0.04, 0.4, share), 2) for share in (0, 0.5, 1)]
    [0.04, 0.22, 0.4]
    """
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
