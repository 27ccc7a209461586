"""Timing of several contenders side by side."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One tool at one task; `run` must have been checked to give the right answer.

    Attributes:
        items: What one call of `run` handles, in the table's unit.
        note: What the reader should know, such as how exact the answer is.
        loops: Calls per measurement; None takes as many as make a measurement long enough.
        rounds: Fewer rounds than the others, for a slow one.
    """

    name: str
    run: Callable[[], object]
    items: int
    note: str = ""
    loops: int | None = None
    rounds: int | None = None


@dataclass
class Table:
    """A table of the record: cells as text for reading, `raw` for computing on."""

    title: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


#: A measurement shorter than this says more about the clock and the scheduler than about the tool.
_LONG_ENOUGH = 0.2


def compare(
    title: str, contenders: Sequence[Contender], *, rounds: int, unit: str, notes: Sequence[str] = ()
) -> Table:
    """Time the contenders in turns, A B C A B C …, so that a slow spell of the machine hits all.

    `unit` is what is counted per second, such as `slices`, or `s` to show seconds per call. Ratios are taken
    within each round, against the first contender; above 1 it is the faster one.
    """
    loops = [contender.loops or _loops(contender) for contender in contenders]
    seconds: list[list[float]] = [[] for _ in contenders]
    for turn in range(rounds):
        for contender, times, count in zip(contenders, seconds, loops, strict=True):
            if turn < (contender.rounds or rounds):
                times.append(_time(contender, count))
                print(f"  {turn + 1}/{rounds} {contender.name}: {times[-1]:.4f} s", file=sys.stderr)
    first = [time / contenders[0].items for time in seconds[0]]
    table = Table(title, ["tool", _heading(unit), "from – to", "time ratio", "note"], notes=list(notes))
    for contender, times in zip(contenders, seconds, strict=True):
        ratios = [time / contender.items / base for time, base in zip(times, first, strict=False)]
        shown = [_shown(unit, contender.items, time) for time in times]
        table.rows.append(
            [
                contender.name,
                number(statistics.median(shown)),
                f"{number(min(shown))} – {number(max(shown))}",
                f"{number(statistics.median(ratios))} ({number(min(ratios))} – {number(max(ratios))})",
                contender.note,
            ]
        )
        table.raw.append({"tool": contender.name, "items": contender.items, "seconds": times, "ratios": ratios})
    return table


def number(value: float) -> str:
    """Three significant digits at least, thousands separated."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def _heading(unit: str) -> str:
    return "seconds" if unit == "s" else f"{unit}/s"


def _shown(unit: str, items: int, seconds: float) -> float:
    return seconds if unit == "s" else items / seconds


def _loops(contender: Contender) -> int:
    return math.ceil(_LONG_ENOUGH / max(_time(contender, 1), 1e-6))


def _time(contender: Contender, loops: int) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(loops):
        contender.run()
    return (time.perf_counter() - start) / loops
