"""Threads that wait for servers, and ordered results of concurrent work."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ctprune.environment.ending import may_be_left

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")

#: Seconds between checks whether the user wants to stop.
LOOK = 0.2

#: Most results that wait for earlier ones, and most work that waits for a thread.
_MOST_WAITING = 4096

#: Set when the process ends; then nothing is tried again.
stopping = threading.Event()

#: Seconds that the process waits at its end for requests in flight.
_LAST_WAIT = 1.0


_CREWS: list[Crew] = []


class Crew:
    """A growing set of threads, as many as were ever needed at a time.

    A pool of `concurrent.futures` would not do: at its end, the process would wait for the pool's threads forever.
    """

    def __init__(self) -> None:
        self._begin()
        _CREWS.append(self)

    def _begin(self) -> None:
        """Start without threads; after a fork, the parent's threads are not here."""
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._lock = threading.Condition()

    def grow(self, threads: int) -> None:
        """Start threads until there are at least this many."""
        with self._lock:
            while len(self._threads) < threads:
                thread = threading.Thread(target=self._serve, name="ctprune-fetch", daemon=True)
                thread.start()
                self._threads.append(thread)

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Have the next free thread do something."""
        from concurrent.futures import Future

        future: Future[R] = Future()
        self._work.put((future, work))
        return future

    def wait(self, seconds: float) -> None:
        """Wait until no work is in progress, but not longer than this: a request in flight cannot be canceled."""
        with self._lock:
            self._lock.wait_for(lambda: self._busy == 0, timeout=seconds)

    def is_busy(self) -> bool:
        """Whether any work is in progress."""
        return self._busy > 0

    def _serve(self) -> None:
        while True:
            future, work = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            with self._lock:
                self._busy += 1
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            finally:
                del future, work
                with self._lock:
                    self._busy -= 1
                    self._lock.notify_all()


_CREW = Crew()


def crew(threads: int) -> Crew:
    """The process's crew, with at least this many threads."""
    _CREW.grow(threads)
    return _CREW


def in_order(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    in_flight: int,
    weigh: Callable[[T], int] = lambda item: 0,
    most: int = 1,
    threads: Crew | None = None,
) -> Generator[tuple[T, R] | None, None, None]:
    """Work on many items at a time; yields each item with its result, in the order of the items.

    Yields None a few times a second while there is no result, so that the caller can draw progress and stop.

    Args:
        work: Called with an item in another thread. What it raises is raised here when it is the item's turn.
        items: Consumed one by one.
        in_flight: Items that are worked on at a time.
        weigh: Called with an item: bytes that its result takes.
        most: Most bytes of all results, including those in flight. One item is always worked on.
        threads: The crew whose threads work; by default the process's.

    >>> from time import sleep
    >>> found = in_order(lambda n: sleep(0.01 * (3 - n)) or n * n, range(3), in_flight=3)
    >>> [result for result in found if result is not None]
    [(0, 0), (1, 1), (2, 4)]
    """
    if threads is None:
        threads = crew(in_flight)
    else:
        threads.grow(in_flight)
    pending: deque[tuple[T, Future[R], int]] = deque()
    rest = iter(items)
    following: T | None = next(rest, None)
    weight = 0
    slots = threading.Semaphore(in_flight)

    def limited(item: T) -> R:
        with slots:
            return work(item)

    # Before Python 3.11, not the built-in class.
    from concurrent.futures import TimeoutError

    most_pending = max(in_flight, min(_MOST_WAITING, 16 * in_flight))
    try:
        while following is not None or pending:
            while following is not None and len(pending) < most_pending:
                more = weigh(following)
                if pending and weight + more > most:
                    break
                weight += more
                pending.append((following, threads.submit(partial(limited, following)), more))
                following = next(rest, None)
            item, future, more = pending[0]
            try:
                result = future.result(LOOK)
            except TimeoutError:
                if future.done():
                    raise
                yield None
                continue
            pending.popleft()
            # The caller now owns the result's memory.
            weight -= more
            del future
            yield item, result
    finally:
        for _, future, _ in pending:
            future.cancel()


def finished(future: Future[R], seconds: float) -> bool:
    """Whether a result or a failure arrives within this many seconds."""
    from concurrent.futures import CancelledError, TimeoutError

    try:
        future.exception(seconds)
    except (TimeoutError, CancelledError):
        return future.done()
    return True


def _begin_anew() -> None:
    """Forget the threads after a fork: they belong to the parent."""
    for one in _CREWS:
        one._begin()


def _end() -> None:
    stopping.set()
    last = time.monotonic() + _LAST_WAIT
    for one in _CREWS:
        one.wait(max(0.0, last - time.monotonic()))


atexit.register(_end)
may_be_left(lambda: any(one.is_busy() for one in _CREWS))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
