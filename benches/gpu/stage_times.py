"""How long each stage of a training step takes, for the device and for the host that drives it.

Marks are set where stages meet, without waiting for the device: the host's clock, and on a GPU an event. What lies
between two events is the device's time, gaps included in which it waits for work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

#: What ends at each mark, in order.
STAGES = ("batch", "views", "forward", "backward", "optimizer", "rest")

#: Steps at the beginning that are not counted.
_SKIPPED = 2


class StageTimes:
    """Marks of some steps."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = device.type == "cuda"
        self._marks: list[tuple[str, float, Any]] = []

    def mark(self, ended: str) -> None:
        event = None
        if self._gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
        self._marks.append((ended, time.perf_counter(), event))

    def medians(self) -> dict[str, dict[str, float]]:
        """Milliseconds of each stage: `host`, and on a GPU `device`."""
        if self._gpu:
            torch.cuda.synchronize()
        found: dict[str, dict[str, list[float]]] = {}
        steps = 0
        for (_, begin, first), (stage, end, second) in zip(self._marks, self._marks[1:], strict=False):
            steps += stage == "batch"
            # The first mark of all has nothing before it, so the first batch's time is not known.
            if steps < _SKIPPED:
                continue
            times = found.setdefault(stage, {})
            times.setdefault("host", []).append(1000 * (end - begin))
            if self._gpu:
                times.setdefault("device", []).append(first.elapsed_time(second))
        return {
            stage: {side: round(statistics.median(each), 3) for side, each in found[stage].items()}
            for stage in STAGES
            if stage in found
        }

    @contextmanager
    def watching(self, model: torch.nn.Module) -> Iterator[None]:
        """Set the marks of the model and of any optimizer meanwhile."""
        hooks = [
            model.register_forward_pre_hook(lambda *_: self.mark("views")),
            model.register_forward_hook(lambda *_: self.mark("forward")),
            register_optimizer_step_pre_hook(lambda *_: self.mark("backward")),
            register_optimizer_step_post_hook(lambda *_: self.mark("optimizer")),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def batches(self, inner: Generator[Any, None, None]) -> Generator[Any, None, None]:
        """The same batches, with a mark before and after each."""
        while True:
            self.mark("rest")
            try:
                batch = next(inner)
            except StopIteration:
                return
            self.mark("batch")
            yield batch
