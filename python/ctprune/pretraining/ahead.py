"""Prepare the next items of an iterator ahead of time, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

#: Largest number of items that wait ready.
_READY = 3


class Ahead:
    """Items of an iterator, taken from it in a thread, in order.

    >>> ahead = Ahead(iter([1, 2, 3]))
    >>> list(ahead)
    [1, 2, 3]
    >>> ahead.stop()
    """

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(_READY)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ctprune-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        while True:
            item, error = self._queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item

    def stop(self) -> None:
        """Wait until the thread has ended."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            for item in self._items:
                if not self._put(item, None):
                    return
            self._put(None, StopIteration())
        except BaseException as error:  # handed over: it is raised where the items are wanted
            self._put(None, error)

    def _put(self, item: Any, error: BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
