"""SIGTERM (Slurm, `docker stop`) and SIGHUP (a closed terminal): commands end as with Ctrl-C, and work is kept."""

from __future__ import annotations

import signal
from types import FrameType

#: What asks a program to end, but for Ctrl-C.
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_noted: list[int] = []


def end_gently() -> None:
    """From now on these signals raise KeyboardInterrupt; one that is ignored (`nohup`) stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def note(number: int) -> None:
    """Remember that a signal came, for the exit code."""
    if number in ENDING:
        _noted.append(number)


def exit_code(otherwise: int) -> int:
    """128 and the number of the signal that ended the program, as shells do it; without one `otherwise`."""
    return 128 + _noted[0] if _noted else otherwise


def _interrupt(number: int, _: FrameType | None) -> None:
    note(number)
    raise KeyboardInterrupt
