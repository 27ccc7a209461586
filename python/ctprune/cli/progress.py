"""Progress of a command on stderr: a bar on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ctprune.cli.output import print_hint

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from ctprune.environment.progress import Progress

#: Seconds between plain lines of the same stage, so that the log of a long run stays short.
SECONDS_PER_LINE = 30.0

#: Seconds before a speed means anything.
_SECONDS_MEASURED = 0.1

#: Stands for values that are not measured yet.
UNKNOWN = "–"

#: Units whose number per second is not shown.
_WITHOUT_SPEED = frozenset({"", "steps", "epochs", "thresholds"})


class ProgressDisplay:
    """Shows the reports of an operation: stage, counts, speeds, and an estimate of the time left.

    Args:
        hidden: Show nothing.
        write: Takes each plain line instead of stderr; then there is no bar.
        clock: Returns seconds.
    """

    def __init__(
        self,
        *,
        hidden: bool = False,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._drawn: _Bar | Lines | None = None
        self._stage: tuple[str, ...] = ()
        self._pace = Pace(0, 0.0)
        self._time_left = TimeLeft()
        if not hidden:
            on_terminal = write is None and sys.stderr.isatty()
            self._drawn = _Bar() if on_terminal else Lines(write, clock)

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Clear the bar for other text; the next report draws it again."""
        if isinstance(self._drawn, _Bar):
            self._drawn.stop()

    def note(self, sentence: str) -> None:
        """A hint among the reports."""
        if self._drawn is not None:
            self.wipe()
            print_hint(sentence)

    def update(self, now: Progress) -> None:
        """Draw a report."""
        if self._drawn is None:
            return
        seconds = self._clock()
        stage = (now.part, now.stage, now.unit)
        if stage != self._stage:
            self._stage, self._pace = stage, Pace(now.done, seconds)
        title = f"{now.part}: {now.stage}" if now.part else now.stage
        parts = [*counts(now), *self._speeds(now, seconds), *_facts(now)]
        left = self._time_left.of(now, seconds)
        if isinstance(self._drawn, _Bar):
            if not (left or 0 < now.total <= now.done):
                left = f"{UNKNOWN} left"
            self._drawn.draw(title, "  ".join(parts), left, now.done, now.total)
        else:
            said = ", ".join([*parts, left] if left else parts)
            self._drawn.show(f"{title}: {said}" if said else title, stage)

    def _speeds(self, now: Progress, seconds: float) -> Iterator[str]:
        if now.unit == "bytes":
            # Of a reduction: bytes and slices that were read.
            spent = now.seconds.get(now.stage, 0.0)
            yield f"{_rate(now.facts.get('slices_read', 0), spent)} slices/s"
            yield f"{_rate(now.done / 1e6, spent)} MB/s"
        elif now.total and now.unit not in _WITHOUT_SPEED:
            yield f"{self._pace.speed(now.done, seconds)} {now.unit}/s"


class Pace:
    """The speed of a stage since it began in this call; work of an earlier call does not count.

    Args:
        done: How much was done when it began.
        began: The clock's seconds then.
    """

    def __init__(self, done: float, began: float) -> None:
        self._done, self._began = done, began

    def speed(self, done: float, seconds: float) -> str:
        """The number per second; a dash until it is known.

        >>> Pace(100, 2.0).speed(100, 2.0), Pace(100, 2.0).speed(400, 6.0)
        ('–', '75')
        """
        return _rate(done - self._done, seconds - self._began)

    def left(self, done: float, total: float, seconds: float) -> str:
        """The time left; empty if it is unknown.

        >>> Pace(900, 0.0).left(950, 1000, 30.0), Pace(0, 0.0).left(5, 0, 1.0)
        ('30 s left', '')
        """
        advance, spent = done - self._done, seconds - self._began
        if advance <= 0 or spent <= 0 or done >= total:
            return ""
        return f"{duration(spent * (total - done) / advance)} left"


#: The number and the total in a part such as `seed 2/5`.
_COUNTED = re.compile(r"(\d+)/(\d+)$")


class TimeLeft:
    """The time left of the reported stage, or of all parts, such as seeds, if each of them has the stage.

    >>> from ctprune.environment.progress import Progress
    >>> left = TimeLeft()
    >>> left.of(Progress(stage="training", part="seed 1/5", done=0, total=10, unit="epochs"), 0.0)
    ''
    >>> left.of(Progress(stage="training", part="seed 1/5", done=5, total=10, unit="epochs"), 60.0)
    '9 min 0 s left'
    """

    def __init__(self) -> None:
        self._stage: tuple[str, ...] = ()
        self._pace = Pace(0, 0.0)
        #: For stages that recur in each part; their time includes what happens in between.
        self._paces: dict[tuple[str, ...], Pace] = {}

    def of(self, now: Progress, seconds: float) -> str:
        """The time left at a report, by the clock's seconds; empty if it is unknown."""
        stage = (now.part, now.stage, now.unit)
        counted = _COUNTED.search(now.part)
        if counted is None:
            if stage != self._stage:
                self._stage, self._pace = stage, Pace(now.done, seconds)
            return self._pace.left(now.done, now.total, seconds)
        part, parts = int(counted[1]), int(counted[2])
        done, total = (part - 1) * now.total + now.done, parts * now.total
        key = (now.part[: counted.start()], now.stage, now.unit)
        return self._paces.setdefault(key, Pace(done, seconds)).left(done, total, seconds)


class _Bar:
    """One line that is redrawn in place and wiped at the end."""

    def __init__(self) -> None:
        self._bar, self._task = _rich_bar()
        self.stop = self._bar.stop

    def draw(self, title: str, state: str, left: str, done: int, total: int) -> None:
        # Nothing is drawn before the first report; after that, this does nothing.
        self._bar.start()
        self._bar.update(
            self._task, description=title, state=state, left=left, total=total or None, completed=done
        )


def _rich_bar() -> tuple[RichProgress, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        # The bar takes the room that the text leaves.
        BarColumn(bar_width=None),
        TextColumn("{task.fields[state]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )
    return bar, bar.add_task("", total=None, state="", left="")


class Lines:
    """A line at each change of stage, and one every `SECONDS_PER_LINE` seconds of a stage.

    Args:
        write: Takes a line; None writes to stderr.
        clock: Returns seconds.
    """

    def __init__(
        self, write: Callable[[str], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write or write_line
        self._clock = clock
        self._stage: object = None
        self._written = 0.0

    def show(self, line: str, stage: object) -> None:
        """Write a line if one is due."""
        now = self._clock()
        if stage == self._stage and now - self._written < SECONDS_PER_LINE:
            return
        self._stage, self._written = stage, now
        self._write(line)


def write_line(line: str) -> None:
    """One plain line on stderr, at once."""
    print(line, file=sys.stderr, flush=True)


def counts(now: Progress) -> list[str]:
    """How much is done, of how much.

    >>> from ctprune.environment.progress import Progress
    >>> counts(Progress(stage="training", done=20, total=9000, unit="steps"))
    ['20/9,000 steps']
    >>> counts(Progress(stage="finding", done=1234, unit="files")), counts(Progress(stage="writing"))
    (['1,234 files'], [])
    """
    done, total, unit = now.done, now.total, now.unit
    if unit == "bytes" and "files_to_read" in now.facts:
        # People count files, but their sizes give a better estimate of the time left.
        done, total, unit = now.facts["files_read"], now.facts["files_to_read"], "files"
    if not (unit and (done or total)):
        return []
    return [f"{done:,}/{total:,} {unit}" if total else f"{done:,} {unit}"]


def _facts(now: Progress) -> Iterator[str]:
    """The facts to show: texts, fractional numbers, and pairs such as `epoch` of `epochs`."""
    for name, value in now.facts.items():
        if name.endswith("_per_second"):
            yield f"{f'{value:,.0f}' if value else UNKNOWN} {name.removesuffix('_per_second')}/s"
        elif isinstance(value, str):
            yield value
        elif isinstance(value, float):
            yield f"{name} {UNKNOWN if math.isnan(value) else f'{value:.4f}'}"
        elif f"{name}s" in now.facts:
            yield f"{name} {value:,}/{now.facts[f'{name}s']:,}"


def _rate(count: float, seconds: float) -> str:
    return f"{count / seconds:,.0f}" if count > 0 and seconds >= _SECONDS_MEASURED else UNKNOWN


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(8.2), duration(75), duration(7300)
    ('8 s', '1 min 15 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
