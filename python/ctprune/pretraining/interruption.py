"""Ctrl-C, SIGTERM and SIGHUP: training finishes the step, saves and stops; what comes before it cleans up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ctprune.environment.ending import ENDING, note


@contextmanager
def ending_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, once. Does nothing outside of the main thread.

    A signal that is ignored stays so: that is how `nohup` keeps a program running.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Whoever sends it again shall not disturb the cleaning up.
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        note(number)
        raise KeyboardInterrupt

    before = _heard(ENDING)
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopRequest:
    """Notes a request to stop; a second Ctrl-C stops at once. Does nothing outside of the main thread.

    >>> with StopRequest() as stop:
    ...     bool(stop)
    False
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        """Whether someone asked to stop."""
        return self._asked

    def __enter__(self) -> StopRequest:
        self._before = _heard((signal.SIGINT, *ENDING))
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        note(number)
        self._asked = True


def _heard(numbers: tuple[int, ...]) -> dict[int, Any]:
    """The handlers of these signals, less those that are ignored or that cannot be replaced from here."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in numbers}
    # None: set by something else than Python, which could not be put back.
    return {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
