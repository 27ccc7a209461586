"""SIGTERM (Slurm, `docker stop`) and SIGHUP (a closed terminal) end a program as Ctrl-C does: work is kept."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

#: The signals that ask a program to end, apart from Ctrl-C.
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

Handler = Callable[[int, FrameType | None], None]

_noted: list[int] = []

#: Each says whether threads are at work that nobody can end, such as one that waits for a silent server.
_at_work: list[Callable[[], bool]] = []


@contextmanager
def ending_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, once; while that is handled, they are ignored.

    Does nothing outside of the main thread. A signal that is ignored stays so: `nohup` keeps a program running.
    """

    def interrupt(number: int, _: FrameType | None) -> None:
        # A signal that is sent again shall not disturb the cleaning up.
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        note(number)
        raise KeyboardInterrupt

    with handled(ENDING, interrupt) as before:
        yield


@contextmanager
def handled(numbers: tuple[int, ...], handler: Handler) -> Iterator[dict[int, Any]]:
    """Have signals handled while the block runs; yields the handlers that were replaced, by signal.

    Leaves alone signals that are ignored, and all of them outside of the main thread, where Python handles none.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
        # None is a handler that is not Python's and could not be put back.
        before = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield before
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def may_be_left(is_at_work: Callable[[], bool]) -> None:
    """Name threads whose work may be left undone when the program ends: `leave` does not wait for them."""
    _at_work.append(is_at_work)


def leave(code: int) -> None:
    """End the program with this code, after all that is to be done at its end; return where nothing is in the way.

    A thread that comes back into Python while that is being taken down can end the process with another code.
    """
    if not _at_work:
        return
    # What is registered there is done once, here or at the end.
    atexit._run_exitfuncs()
    if any(is_at_work() for is_at_work in _at_work):
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


def note(number: int) -> None:
    """Remember that a signal came, for the exit code."""
    if number in ENDING:
        _noted.append(number)


def exit_code(otherwise: int) -> int:
    """128 plus the number of the signal that ended the program, as in shells; without one, `otherwise`."""
    return 128 + _noted[0] if _noted else otherwise
