"""Objects' bytes for the Rust core, which asks for one after another, fetched ahead within a budget of bytes.

Many requests are in flight, while without this each of the core's threads would wait for one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ctprune import _core
from ctprune.sources.addresses import locate
from ctprune.sources.connections import OBJECTS_IN_FLIGHT, connection_of
from ctprune.sources.crew import crew, finished
from ctprune.sources.failures import Refused

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Most bytes of objects that are in memory or in flight at a time.
MOST_BYTES = 512 << 20

#: Assumed size of an object until some sizes are known.
_FIRST_GUESS = 1 << 20


class FetchAhead:
    """Gives objects to the core, which calls `soon` with all that it will take, then `take` for each.

    The core's threads take them in about the order of `soon`.

    Args:
        most_bytes: Most bytes in memory or in flight, apart from the object that the core waits for.
        at_container: Whether the first bytes of a zip or tar file are enough.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, *, at_container: bool = False) -> None:
        self._most = most_bytes
        self._read = _read_or_head if at_container else _read
        self._lock = threading.Lock()
        self._later: deque[str] = deque()
        self._started: dict[str, Future[bytes]] = {}
        self._guess = float(_FIRST_GUESS)

    def soon(self, addresses: Sequence[str]) -> None:
        """Begin to fetch these objects, in order."""
        with self._lock:
            self._later.extend(addresses)
            self._fill()

    def take(self, address: str, seconds: float) -> bytes | str | None:
        """An object's bytes, or why there are none; None if they do not arrive within this many seconds.

        Raises:
            NetworkError: The server no longer answers.
        """
        with self._lock:
            future = self._started.get(address) or self._begin(address)
        if not finished(future, seconds):
            return None
        with self._lock:
            self._started.pop(address, None)
            self._fill()
        try:
            data = future.result()
        except Refused as refusal:
            return str(refusal)
        self._guess += (len(data) - self._guess) / 16
        return data

    def __enter__(self) -> FetchAhead:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop fetching."""
        with self._lock:
            self._later.clear()
            for future in self._started.values():
                future.cancel()
            self._started.clear()

    def _fill(self) -> None:
        while self._later and self._weight() < self._most:
            address = self._later.popleft()
            if address not in self._started:
                self._begin(address)

    def _weight(self) -> float:
        return len(self._started) * self._guess

    def _begin(self, address: str) -> Future[bytes]:
        server, path = locate(address)
        future = crew(OBJECTS_IN_FLIGHT).submit(partial(self._read, server, path))
        self._started[address] = future
        return future


def _read(server: str, path: str) -> bytes:
    return connection_of(server).read(path, None)


def _read_or_head(server: str, path: str) -> bytes:
    connection = connection_of(server)
    if connection.containers is None:
        return connection.read(path, None)
    name = path.rpartition("/")[2]
    stamp = connection.look(path)
    # The size of a member is unknown before it is read.
    return connection.read(
        path, stamp if stamp.size else None, lambda head: _core.container_kind_by_head(name, head) is not None
    )
