"""How far a command has come, on stderr: a bar on terminals, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

#: Seconds from one plain line to the next of the same stage: a night's log stays short.
SECONDS_PER_LINE = 30.0

#: Seconds before a speed says anything.
_SECONDS_MEASURED = 0.1

#: What stands where nothing has been measured yet.
UNKNOWN = "–"

Display = TypeVar("Display", bound="ProgressDisplay")


class ProgressDisplay:
    """What is being done, counts and speeds, and the time left of this stage.

    Args:
        hidden: Show nothing.
    """

    def __init__(self, *, hidden: bool) -> None:
        self._shown: _Bar | Lines | None = None
        if not hidden:
            self._shown = _Bar() if sys.stderr.isatty() else Lines()

    def __enter__(self: Display) -> Display:
        if self._shown is not None:
            self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.stop()

    def show(self, title: str, *parts: str, done: int = 0, total: int = 0, stage: str | None = None) -> None:
        """Show this state.

        Args:
            title: What is being done.
            parts: Counts, speeds and the like.
            done: How much of the stage is done.
            total: Of how much; 0 where that is not known.
            stage: What must stay the same for the time left to be estimated; by default the title.
        """
        if self._shown is not None:
            self._shown.show(title, parts, done, total, stage or title)


class _Bar:
    """One line that is drawn over itself."""

    def __init__(self) -> None:
        self._bar, self._task = _rich_bar()
        self._stage: str | None = None

    def start(self) -> None:
        self._bar.start()

    def stop(self) -> None:
        self._bar.stop()

    def show(self, title: str, parts: tuple[str, ...], done: int, total: int, stage: str) -> None:
        if stage != self._stage:
            self._stage = stage
            self._bar.reset(self._task)
        self._bar.update(
            self._task, description=title, state="  ".join(parts), total=total or None, completed=done
        )


def _rich_bar() -> tuple[RichProgress, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    return bar, bar.add_task("", total=None, state="")


class Lines:
    """A line at each change of stage, and one after every `SECONDS_PER_LINE` of a stage.

    Args:
        write: Takes a line; None writes to stderr.
        clock: Gives seconds.
    """

    def __init__(
        self, write: Callable[[str], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write or write_line
        self._clock = clock
        self._stage: str | None = None
        self._written = self._began = 0.0
        self._done_before = 0

    def start(self) -> None:
        """Nothing is drawn before there is something to say."""

    def stop(self) -> None:
        """Nothing has to be wiped."""

    def show(self, title: str, parts: tuple[str, ...], done: int, total: int, stage: str) -> None:
        """Write a line if one is due."""
        now = self._clock()
        if stage != self._stage:
            self._stage, self._began, self._done_before = stage, now, done
        elif now - self._written < SECONDS_PER_LINE:
            return
        self._written = now
        left = self._left(now, done, total)
        said = [part for part in (*parts, left) if part]
        self._write(f"{title}: {', '.join(said)}" if said else title)

    def _left(self, now: float, done: int, total: int) -> str:
        """The time left, from what this stage has done so far; empty where that is not known."""
        advance = done - self._done_before
        if advance <= 0 or done >= total:
            return ""
        return f"{duration((now - self._began) * (total - done) / advance)} left"


def write_line(line: str) -> None:
    """One plain line on stderr, at once."""
    print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(8.2), duration(75), duration(7300)
    ('8 s', '1 min 15 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Speed:
    """How many a second, from now on.

    Args:
        before: How many were done before.
        clock: Gives seconds.
    """

    def __init__(self, before: float = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began, self._before = clock(), before

    def text(self, count: float, unit: str) -> str:
        """The speed up to now; a dash until there is one.

        >>> ticks = iter([0.0, 2.0, 4.0])
        >>> speed = Speed(clock=lambda: next(ticks))
        >>> speed.text(0, "slices"), speed.text(300, "slices")
        ('– slices/s', '75 slices/s')
        """
        seconds = self._clock() - self._began
        known = count > self._before and seconds >= _SECONDS_MEASURED
        number = f"{(count - self._before) / seconds:,.0f}" if known else UNKNOWN
        return f"{number} {unit}/s" if unit else f"{number}/s"
