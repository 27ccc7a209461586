"""How long each stage of a reduction took, from the reports of its progress."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Stages that report when they begin; the others do when a part of them is done.
_REPORT_FIRST = frozenset({"selecting", "writing"})


class StageClock:
    """Seconds by stage.

    >>> ticks = iter([1.0, 4.0, 4.5, 6.5, 7.0])
    >>> clock = StageClock(began=0, clock=lambda: next(ticks))
    >>> for stage in ("finding", "reading", "selecting", "embedding"):
    ...     clock.report(stage)
    >>> clock.seconds()
    {'finding': 1.0, 'reading': 3.5, 'selecting': 0, 'embedding': 2.5}
    """

    def __init__(self, *, began: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._stage = ""
        self._last = began

    def report(self, stage: str) -> None:
        """The reduction is at this stage."""
        now = self._clock()
        # What lies between two reports is work of the later stage, unless that only begins.
        worked = self._stage if stage in _REPORT_FIRST and self._stage else stage
        self._seconds[worked] = self._seconds.get(worked, 0) + now - self._last
        self._seconds.setdefault(stage, 0)
        self._stage, self._last = stage, now

    def seconds(self) -> dict[str, float]:
        """Up to now, the stages in the order in which they came."""
        self.report(self._stage)
        return {stage: round(spent, 3) for stage, spent in self._seconds.items()}
