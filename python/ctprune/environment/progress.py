"""Progress, timing and stopping of a long operation: one type for all of them.

A function that takes long reports to an `Operation`. Each report reaches the caller's `progress=` as a `Progress`,
which can also ask the function to stop.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from ctprune.environment.ending import ENDING, handled, note
from ctprune.environment.log import Log

_log = Log("ctprune.progress")

#: Called with the number that a loop has done. Raising KeyboardInterrupt stops the loop.
Count = Callable[[int], None]


def _nothing_to_stop() -> None:
    """Stop a report that belongs to no operation."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One report of a long operation.

    Attributes:
        stage: What the operation is doing, such as `reading`; the operation's docstring lists its stages.
        part: Which of several similar parts the stage belongs to, such as `seed 2/5`; empty if there is only one.
        done: How much of the stage is done, in `unit`.
        total: How much there is to do; 0 if that is unknown.
        unit: What is counted: `files`, `bytes`, `slices`, `images`, `pictures`, `thresholds`, `epochs` or `steps`.
        facts: Further numbers by name, such as `{"loss": 3.2}`; None and NaN are not known yet.
        seconds: Seconds spent in each stage so far, in the order in which the stages began.

    >>> Progress(stage="reading", done=3, total=9, unit="files").done
    3
    """

    stage: str
    part: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    _stop: Callable[[], None] = field(default=_nothing_to_stop, repr=False, compare=False)

    def stop(self) -> None:
        """Ask the operation to stop, from any thread. It then ends as after Ctrl-C: work is kept."""
        self._stop()


ProgressCallback = Callable[[Progress], None]


class Operation:
    """A long operation as its caller sees it: how far it is, how long its stages took, whether it shall stop.

    The time from one report to the next belongs to the stage of the first, so a stage reports when it begins.

    Args:
        progress: Called with each report; None ignores them.
        clock: Returns seconds.

    >>> ticks = iter([0.0, 0.0, 4.0, 4.5, 6.5])
    >>> operation = Operation(clock=lambda: next(ticks))
    >>> operation.report("reading")
    >>> operation.report("reading", 9, 9, "files")
    >>> operation.report("writing")
    >>> operation.seconds()
    {'reading': 4.5, 'writing': 2.0}
    """

    def __init__(
        self, progress: ProgressCallback | None = None, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._progress = progress
        self._clock = clock
        self._seconds: dict[str, float] = {}
        #: The stage that was reported last; empty before the first report.
        self.stage = ""
        self._last = clock()
        #: The stage that is being logged, with its part, and when it began.
        self._logged: tuple[str, float] = ("", self._last)
        self._finishes_steps = False
        #: Whether someone has asked the operation to stop.
        self.stop_requested = False

    def report(
        self, stage: str, done: int = 0, total: int = 0, unit: str = "", *, part: str = "", **facts: Any
    ) -> None:
        """Report a state, see `Progress`.

        Raises:
            KeyboardInterrupt: Someone has asked the operation to stop.
        """
        self._add_time()
        self._log_stage(f"{part}: {stage}" if part else stage)
        self._pass_on(stage, done, total, unit, part, facts)

    def _pass_on(self, stage: str, done: int, total: int, unit: str, part: str, facts: Mapping[str, Any]) -> None:
        self.stage = stage
        self._seconds.setdefault(stage, 0.0)
        if self._progress is not None:
            self._progress(
                Progress(
                    stage=stage,
                    part=part,
                    done=done,
                    total=total,
                    unit=unit,
                    facts=facts,
                    seconds=dict(self._seconds),
                    _stop=self.stop,
                )
            )
        if not self._finishes_steps and self.stop_requested:
            raise KeyboardInterrupt

    def counter(self, stage: str, total: int, unit: str, *, before: int = 0, **facts: Any) -> Count:
        """Begin a stage; its loop calls what this returns, counting from 0. `before` of the total are done."""

        def count(done: int) -> None:
            self.report(stage, before + done, total, unit, **facts)

        count(0)
        return count

    def pass_on(self, now: Progress, *, part: str = "") -> None:
        """Report what an operation within this one reports. It passes on a request to stop.

        Args:
            now: The report of the operation within.
            part: What that operation is of this one; by default the part that it names.
        """
        finishes_steps, self._finishes_steps = self._finishes_steps, True
        try:
            # That operation has logged it.
            self._add_time()
            self._pass_on(now.stage, now.done, now.total, now.unit, part or now.part, now.facts)
        finally:
            self._finishes_steps = finishes_steps
        if self.stop_requested:
            now.stop()

    def seconds(self) -> dict[str, float]:
        """Seconds spent in each stage so far, to the millisecond, in the order in which the stages began."""
        self._add_time()
        return {stage: round(spent, 3) for stage, spent in self._seconds.items()}

    def stop(self) -> None:
        """Ask the operation to stop, from any thread."""
        self.stop_requested = True

    @contextmanager
    def finishing_steps(self) -> Iterator[None]:
        """While the block runs, nothing is interrupted within a step: the operation reads `stop_requested`.

        Ctrl-C, SIGTERM and SIGHUP ask to stop; after that, another Ctrl-C interrupts at once.

        >>> operation = Operation()
        >>> with operation.finishing_steps():
        ...     operation.stop()
        ...     operation.report("training")
        """

        def request(number: int, _: FrameType | None) -> None:
            if self.stop_requested and number == signal.SIGINT:
                raise KeyboardInterrupt
            note(number)
            self.stop_requested = True

        self._finishes_steps = True
        try:
            with handled((signal.SIGINT, *ENDING), request):
                yield
        finally:
            self._finishes_steps = False

    def _log_stage(self, stage: str) -> None:
        """Log that a stage begins, and how long the one before it took."""
        before, began = self._logged
        if stage == before:
            return
        if before:
            _log.info("%s took %.3f s", before, self._last - began)
        self._logged = (stage, self._last)
        _log.info("%s begins", stage)

    def _add_time(self) -> None:
        now = self._clock()
        if self.stage:
            self._seconds[self.stage] += now - self._last
        self._last = now
